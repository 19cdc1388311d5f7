"""What is wrong with a machine, and what mends it: rules over facts that somebody else gathered."""
