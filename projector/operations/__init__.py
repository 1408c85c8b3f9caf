"""What commands decide: status, doctor, resets of leases, explanations; over ports, never over drivers."""
