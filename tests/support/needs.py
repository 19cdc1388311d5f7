"""What a test needs of who runs it."""

import ctypes
import os
import traceback
from collections.abc import Callable
from typing import Final

import pytest

_VERSION_3: Final = 0x20080522
_BOUNDING_DROP: Final = 24
_OVERRIDE, _READ_SEARCH = 1, 2
"""The capabilities for which root is not asked for a file's mode (capabilities(7))."""


def needs_root(why: str) -> pytest.MarkDecorator:
    """Leave a test out for everybody but root, who alone can make another user's things."""
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"only root {why}")


def as_anybody(story: Callable[[], object]) -> None:
    """Run what the modes of files are to keep out, in a process that they keep out, also root's.

    It is a child, because what is given up there comes back to nobody, nor to what it starts.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _obey_modes()
            story()
            code = 0
        except BaseException:  # noqa: BLE001  # whatever it is, the parent's test fails
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "see the trace above"


def _obey_modes() -> None:
    """Give up root's right to every file, if this is root."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, the low halves first
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for capability in (_OVERRIDE, _READ_SEARCH):
        assert libc.prctl(_BOUNDING_DROP, capability, 0, 0, 0) == 0
        for half in range(3):
            sets[half] &= ~(1 << capability) & 0xFFFFFFFF
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
