"""Configuration files on a real disk."""
