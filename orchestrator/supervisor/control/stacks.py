"""What every thread and every task does just now, as text: for somebody who wonders why."""

import asyncio
import io
import sys
import threading
import traceback


def stacks() -> str:
    """Return the stacks of all threads, and of all tasks of this loop."""
    text = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - documented, and the only way
        text.write(f"thread {names.get(ident, ident)}\n")
        text.writelines(traceback.format_stack(frame))
        text.write("\n")
    for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
        text.write(f"task {task.get_name()}\n")
        task.print_stack(file=text)
        text.write("\n")
    return text.getvalue()
