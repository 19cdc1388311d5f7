"""The text of a configuration: a tree that knows its places, and lines that may be shown."""
