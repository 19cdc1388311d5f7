"""What a fault may cost: where a disk fails, a program may end with a trace, and ask for patience.

Everything else that the judge finds is a broken promise, whatever the fault was.
"""

from typing import Final

ENDS_ATTEMPT: Final = ("inputs.", "workspace.", "shim.spawned", "shim.started_recorded")
"""Sites at which a disk that fails is the end of the attempt, which is told by that name: its
inputs have no room, or what it says has none."""
_OF_A_DISK: Final = ("failed disk_full", "failed input_unavailable")


def allowed(spec: str, title: str, complaint: str) -> bool:
    """Tell whether a complaint is what the fault was bound to bring."""
    broken = [fault for fault in spec.split(",") if fault.endswith(("=EIO", "=ENOSPC"))]
    if broken and title.startswith(("I15", "I16")):
        return True
    ends = any(fault.startswith(ENDS_ATTEMPT) for fault in broken)
    return ends and title.startswith("I5") and any(end in complaint for end in _OF_A_DISK)
