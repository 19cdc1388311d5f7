"""Layer 4: the command line, a file per noun."""
