"""Deterministic simulation: the real programs in a world whose faults come from a seed."""
