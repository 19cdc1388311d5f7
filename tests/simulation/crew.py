"""Processes side by side that run seeds, a chunk at a time, for as long as they are asked to.

To begin takes as long as ten seeds, so a process runs many chunks before another takes its place.
It ends when nobody asks any more, however whoever asked has ended.
"""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from tests.simulation import runner
from tests.simulation.seed import Laboratory

CHUNK = 50
"""Seeds in one go: what is lost when a run is stopped."""
CHUNKS_EACH = 20
"""After so many a process makes way for another one: what it has leaked goes with it."""
Found = tuple[range, runner.Sum]


def serve() -> None:
    """Run what is asked for on the standard input, line by line: two seeds, and for how long."""
    laboratory = Laboratory()
    for line in sys.stdin:
        first, end, seconds = line.split()
        found = runner.run_here(range(int(first), int(end)), laboratory, seconds=float(seconds))
        sys.stdout.write(f"{found.to_json()}\n")
        sys.stdout.flush()


class Crew:
    """So many processes, and the chunks that are left for them."""

    def __init__(self, chunks: Iterable[range], processes: int, *, until: float) -> None:
        self._chunks = iter(chunks)
        self._until = until
        self._turn = threading.Lock()
        self._found: queue.SimpleQueue[Found | BaseException | None] = queue.SimpleQueue()
        self._running: list[subprocess.Popen[str]] = []
        self._stopped = False
        self._threads = [threading.Thread(target=self._work) for _ in range(processes)]

    def results(self) -> Iterator[Found]:
        """Yield each chunk and what it came to, in the order in which they end."""
        for thread in self._threads:
            thread.start()
        left = len(self._threads)
        try:
            while left:
                found = self._found.get()
                if found is None:
                    left -= 1
                elif isinstance(found, BaseException):
                    raise found
                else:
                    yield found
        finally:
            self._stop()

    def _stop(self) -> None:
        with self._turn:
            self._stopped = True
            for process in self._running:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while self._serve_one():
                pass
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self._found.put(error)
        self._found.put(None)

    def _serve_one(self) -> bool:
        """Ask one process for as many chunks as it may have; tell whether there may be more."""
        process = self._begin()
        if process is None:
            return False
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            for _ in range(CHUNKS_EACH):
                chunk = self._next()
                if chunk is None:
                    return False
                left = self._until - time.monotonic()
                process.stdin.write(f"{chunk.start} {chunk.stop} {left}\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if self._stopped:
                    return False
                if not answer:
                    raise RuntimeError(f"the process of the seeds {chunk} died")
                self._found.put((chunk, runner.Sum.of(answer)))
            process.stdin.close()
        return True

    def _begin(self) -> "subprocess.Popen[str] | None":
        with self._turn:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.simulation", "serve"],
                env=runner.environment(),
                cwd=runner.ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # A Ctrl-C is for whoever asks; the rest ends when nobody asks any more.
                start_new_session=True,
            )
            self._running.append(process)
            return process

    def _next(self) -> range | None:
        with self._turn:
            if self._stopped or time.monotonic() > self._until:
                return None
            return next(self._chunks, None)


def chunks(seeds: range) -> list[range]:
    """Return the seeds in chunks."""
    return [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
