"""The shim: the tiny process that owns one attempt at a time, from its command to its exit record.

It knows no server, no job kind and no lease: it is told what to run, and writes down what came of
it. It is forked from the launcher and imports nothing afterwards, so this package uses nothing but
the standard library and those few modules of ours that do the same.
"""

from worker.shim.process import main

__all__ = ["main"]
