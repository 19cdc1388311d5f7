"""The spool on a real disk, without processes."""
