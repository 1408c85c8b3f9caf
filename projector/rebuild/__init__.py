"""Generations beside the live one: filled from the container by several processes at once."""
