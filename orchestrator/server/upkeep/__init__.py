"""The server's periodic work: leases, due jobs, retention."""
