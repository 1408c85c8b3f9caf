"""What the program says of itself: structured logs and Prometheus metrics; it decides nothing."""
