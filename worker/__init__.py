"""Layer 3, program three: the worker, which runs attempts."""
