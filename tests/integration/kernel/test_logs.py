"""A log whose reader is gone."""

import subprocess

from tests.support.processes import clean_environment, python

SPEAKS = """
import logging, sys
from orchestrator.kernel import logs
logs.set_up()
sys.stdin.read()
for _ in range(3):
    logs.event(logging.getLogger(), logging.INFO, "a.thing_happened")
sys.exit(3)
"""


def test_a_program_whose_log_nobody_reads_keeps_its_exit_code() -> None:
    """A closed pipe costs the lines, and nothing else: not the program, and not its code."""
    pipe = subprocess.PIPE
    argv = python("-c", SPEAKS)
    with subprocess.Popen(argv, env=clean_environment(), stdin=pipe, stderr=pipe) as program:
        assert program.stdin is not None
        assert program.stderr is not None
        program.stderr.close()

        program.stdin.close()

        assert program.wait(10) == 3
