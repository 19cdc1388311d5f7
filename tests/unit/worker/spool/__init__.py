"""The pure parts of the spool."""
