"""The pure parts of a shim."""
