"""What this system does in a second, against what the machine can do at best: `make bench`."""
