"""The change feed processor: leases, ranges, reading and checkpointing; knows no rows, no SDK."""
