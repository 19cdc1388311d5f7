"""What every thread and every task does just now, as text: for somebody who wonders why.

Asked for by a call, or by a signal (SIGUSR1) that a process answers in its log and survives. It
names places in the source and shows no value, so there is nothing secret in it.
"""

import asyncio
import io
import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Final

from orchestrator.kernel import logs

LOGGER: Final = logging.getLogger(__name__)
SIGNAL: Final = signal.SIGUSR1
PAUSE_S: Final = 0.1
"""Between two of them; a second look in the same tenth of a second sees nothing new."""


def stacks() -> str:
    """Return the stacks of all threads, and of all tasks of this thread's loop."""
    text = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - documented, and the only way
        text.write(f"thread {names.get(ident, ident)}\n")
        text.writelines(traceback.format_stack(frame))
        text.write("\n")
    for task in sorted(_tasks(), key=asyncio.Task.get_name):
        text.write(f"task {task.get_name()}\n")
        text.writelines(_places(task.get_coro()))
        text.write("\n")
    return text.getvalue()


def _places(waiting: object) -> Iterator[str]:
    """Yield where a coroutine is, where the one is that it awaits, and so on.

    A task's own stack has the outermost frame alone, which is the library's for every task.
    """
    while waiting is not None:
        frame = _first(waiting, "cr_frame", "gi_frame", "ag_frame")
        if isinstance(frame, FrameType):
            code = frame.f_code
            place = traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_qualname)
            yield from traceback.format_list([place])
        waiting = _first(waiting, "cr_await", "gi_yieldfrom", "ag_await")


def _first(of: object, *names: str) -> object:
    """Return the first of these attributes that there is."""
    return next((getattr(of, name) for name in names if hasattr(of, name)), None)


def _tasks() -> "set[asyncio.Task[object]]":
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()  # there is no loop, or none any more


def log_on_signal() -> None:
    """Write all stacks to the log whenever `SIGNAL` comes, instead of dying of it.

    A handler of the interpreter and none of the event loop: a loop that stands still is what
    somebody wants to see. It may have interrupted a write to the log, which cannot be entered
    twice, so another thread writes; it waits until the interrupted one is done. What is asked for
    meanwhile is not: somebody who only sends signals must not be able to fill a disk or a memory.
    """
    writing = threading.Lock()

    def handle(_number: int, _frame: object) -> None:
        if writing.acquire(blocking=False):
            told = (stacks(), writing)
            threading.Thread(target=_write, args=told, name="stacks", daemon=True).start()

    signal.signal(SIGNAL, handle)


def _write(text: str, writing: threading.Lock) -> None:
    try:
        logs.event(LOGGER, logging.WARNING, "stacks.dumped", trace=text.rstrip("\n"))
        time.sleep(PAUSE_S)
    finally:
        writing.release()
