"""The small HTTP side of a host: is it alive, is it ready, what are its figures."""
