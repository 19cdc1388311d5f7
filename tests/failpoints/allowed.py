"""What a fault may cost: where a disk fails, a program may end with a trace, and ask for patience.

Everything else that the judge finds is a broken promise, whatever the fault was.
"""

from typing import Final

INPUTS: Final = ("inputs.", "workspace.")
"""Sites at which a disk that fails is told as the end of the attempt: its inputs are not there."""
_NO_INPUTS: Final = ("failed disk_full", "failed input_unavailable")


def allowed(spec: str, title: str, complaint: str) -> bool:
    """Tell whether a complaint is what the fault was bound to bring."""
    broken = [fault for fault in spec.split(",") if fault.endswith(("=EIO", "=ENOSPC"))]
    if broken and title.startswith(("I15", "I16")):
        return True
    no_inputs = any(fault.startswith(INPUTS) for fault in broken)
    return no_inputs and title.startswith("I5") and any(end in complaint for end in _NO_INPUTS)
