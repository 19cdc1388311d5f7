"""Layer 3, program two: the control server."""
