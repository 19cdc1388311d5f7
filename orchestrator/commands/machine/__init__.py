"""The verbs that concern the orchestrator of this machine, such as `orchestrator status`.

They speak to it through its socket. Each verb has a file; `finding` knows where the socket is.
"""
