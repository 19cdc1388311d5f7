"""`python -m worker` is the program `worker`."""

from worker.cli import main

main(prog_name="worker")
