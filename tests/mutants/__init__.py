"""Mistakes planted in the product, each of which a test must find: `make mutants` looks for all."""
