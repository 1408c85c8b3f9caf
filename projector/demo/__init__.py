"""The demo: an emulator, a PostgreSQL, a host and some shoppers, in one terminal."""
