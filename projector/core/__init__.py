"""Pure values and decisions: no IO, no clock, no randomness of its own."""
