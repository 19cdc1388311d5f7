"""The rules of the command line, without a process."""
