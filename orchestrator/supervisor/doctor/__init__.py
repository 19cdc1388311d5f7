"""Looking at a machine: everything that the rules of `logic/doctor` want to know, gathered."""
