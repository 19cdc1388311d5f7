"""Named places where a developer may have a program die, stop, wait, or meet a broken disk.

It knows no program and no reason. Each place stands where a crash would hurt most: between two
steps of which one without the other is a lie. What is done there lies in `failpoint_actions.py`,
which no wheel carries, so an installed program cannot be told to do it by anybody.
"""

import importlib
import os
from collections.abc import Callable
from typing import Final

SPEC: Final = "ORCHESTRATOR_FAILPOINTS"
"""The variable that says what happens where; it may be empty, to learn only what is reached."""
FOLDER: Final = "ORCHESTRATOR_FAILPOINTS_DIR"
"""The variable that names the folder where it is noted, and by which each happens once."""
SITES: Final = (
    "submit.before_commit",
    "submit.after_commit",
    "claim.before_commit",
    "claim.after_commit",
    "heartbeat.before_commit",
    "heartbeat.after_commit",
    "report.before_commit",
    "report.after_commit",
    "cancel.before_commit",
    "cancel.after_commit",
    "schedule.before_commit",
    "schedule.after_commit",
    "session.before_commit",
    "session.after_commit",
    "commit.before",
    "commit.after",
    "upload.tmp_written",
    "upload.renamed",
    "upload.dir_synced",
    "upload.row",
    "output.appended",
    "output.synced",
    "output.row",
    "reaper.mid_batch",
    "migrate.statement",
    "startup.recovery",
    "store.closing",
    "grant.before_send",
    "grant.before_write",
    "grant.after_write",
    "grant.after_sync",
    "shim.forked",
    "shim.spawned",
    "shim.started_recorded",
    "shim.exit_before_record",
    "shim.exit_written",
    "inputs.fetched",
    "inputs.placed",
    "workspace.before_wipe",
    "deliver.sent",
    "deliver.acked",
    "deliver.uploaded",
    "ledger.before_write",
    "ledger.written",
    "spool.synced",
    "spool.before_unlink",
    "spool.unlinked",
    "spool.reattached",
    "session.opened",
    "supervisor.enrolled",
    "supervisor.spawned",
    "supervisor.draining",
    "supervisor.stopping",
    "launcher.before_fork",
    "launcher.forked",
    "launcher.reaped",
)


def _asked_for() -> Callable[[str], None] | None:
    """Return what to do at each place, or nothing, which is what every user gets."""
    spec, folder = os.environ.get(SPEC), os.environ.get(FOLDER)
    if spec is None or not folder:
        return None
    try:
        # By name, because it is not there but in a checkout, and rules that see no clock come here.
        actions = importlib.import_module("orchestrator.kernel.failpoint_actions")
    except ModuleNotFoundError:
        return None
    act: Callable[[str], None] = actions.Failpoints(spec, folder, SITES).reached
    return act


_act: Final = _asked_for()


def reached(site: str) -> None:
    """Tell that a place is reached; whoever asked for it meets its fault here."""
    if _act is not None:
        _act(site)
