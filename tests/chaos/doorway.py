"""Stands where a supervisor expects its own server, and points to one that runs elsewhere.

So everything of a machine is real (supervisor, launcher, nursery, worker, shims) while the server
is killed by itself, and all that the worker says travels through a proxy.
"""

import argparse
import contextlib
import json
import socket
import sys


def main() -> int:
    """Say where the server is; end when told to, or with the parent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--lifeline-fd", type=int)
    options, _of_a_server = parser.parse_known_args()
    line = socket.socket(fileno=options.lifeline_fd)
    with contextlib.suppress(ConnectionError):  # a parent that was killed meanwhile
        line.send(json.dumps({"state": "ready", "url": options.url}).encode())
        line.recv(1_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
