"""Making SQL equal the container again: sweep after a replay, verify, repair, retry."""
