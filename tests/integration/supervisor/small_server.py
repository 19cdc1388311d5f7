"""The smallest server that a supervisor can be tested with: a real program, HTTP and a lifeline.

It makes its keys at the first start, enrols workers, and keeps a journal of what happened to it.
A file `exit-code` in its folder makes it end with that code instead of starting, a file `silent`
keeps it from answering, a file `slow` from ending, and a FIFO `late` from starting before somebody
opens it for writing.
"""

import argparse
import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "machine_{0}:worker_{0}:secret_of_the_test"


def main() -> int:
    """Serve until told to stop, or until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--insecure-http", action="store_true")
    options = parser.parse_args()
    folder: Path = options.data_dir
    folder.mkdir(mode=0o700, exist_ok=True)
    if (folder / "exit-code").exists():
        return int((folder / "exit-code").read_text())
    if (folder / "late").exists():
        (folder / "late").read_bytes()
    if not (folder / "enrol.key").exists():
        (folder / "enrol.key").write_text("wak_of_the_test\n")
        (folder / "admin.key").write_text("pak_of_the_test\n")
    listening = socket.socket(fileno=options.listen_fd)
    listening.setblocking(True)
    host, port = listening.getsockname()
    server = ThreadingHTTPServer((host, port), _handler(folder), bind_and_activate=False)
    server.socket = listening
    threading.Thread(target=server.serve_forever, daemon=True).start()
    line = socket.socket(fileno=options.lifeline_fd)
    url = f"http://{host}:{port}"
    note(folder.parent, f"server ready on {host}:{port}")
    line.send(json.dumps({"state": "ready", "url": url}).encode())
    while b'"log"' in (order := line.recv(1000)):
        note(folder.parent, f"server heard {order.decode()}")
    note(folder.parent, f"server heard {order.decode() or 'the end'}")
    while (folder / "slow").exists():
        threading.Event().wait(0.02)
    server.shutdown()
    return 0


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if (folder / "silent").exists():
                threading.Event().wait()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = self.headers["Authorization"] == "Bearer wak_of_the_test"
            note(folder.parent, f"enrolled {body['name']} {body['fingerprint']}")
            reply = {"token": TOKEN.format("0" * 26), "worker_id": "w", "machine_id": "m"}
            data = json.dumps(reply if allowed else {}).encode()
            self.send_response(201 if allowed else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the journal says what matters."""

    return Handler


def note(folder: Path, line: str) -> None:
    """Add a line to the journal of a run."""
    with (folder / "journal").open("a") as journal:
        journal.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
