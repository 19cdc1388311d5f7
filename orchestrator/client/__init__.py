"""Layer 2: calling the server, used by the worker and the command line."""
