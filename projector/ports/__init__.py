"""Protocols, only where IO is: `feed` for the processor, `rows` for what knows rows."""
