"""Power cuts: what is on the disk when the machine dies at any moment, opened by the real code.

A real program runs under `strace`, which records every change that it asks of the file system and
every answer that it sends, in one order. From that record come the states of the disk that a power
cut could have left: what was synced, and any part of what was not.
"""
