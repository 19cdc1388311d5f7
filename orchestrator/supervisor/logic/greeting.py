"""What a person reads when everything is up: where it is, and what to do next."""

from collections.abc import Sequence


def greeting(url: str, *, directory: str, slots: int, program: Sequence[str]) -> str:
    """Return the text; `program` is how this person starts us."""
    command = " ".join(program)
    jobs = "one job at a time" if slots == 1 else f"up to {slots} jobs at a time"
    return "\n".join(
        [
            "",
            f"The orchestrator is ready at {url}",
            f"Its worker runs {jobs} in {directory}",
            "",
            "In another terminal:",
            f"  {command} jobs submit --follow -- echo hello",
            f"  {command} jobs submit --upload ./some-project --follow -- make test",
            f"  {command} jobs list",
            "",
            "Ctrl-C here stops it when the running jobs are done; twice interrupts them.",
            "",
        ]
    )
