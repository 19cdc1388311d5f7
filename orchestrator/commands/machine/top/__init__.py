"""`orchestrator top`: the machine on one screen, live.

`screen` draws and knows no terminal, `terminal` is one and knows no worker, `usage` asks the kernel
what jobs use, and `loop` brings them together.
"""
