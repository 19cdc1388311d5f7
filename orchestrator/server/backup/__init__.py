"""Saving an installation's data while it works, and bringing them back."""
