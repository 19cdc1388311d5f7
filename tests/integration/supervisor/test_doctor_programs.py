"""Which programs a doctor starts to hear their version."""

import os
from pathlib import Path

from orchestrator.supervisor.doctor import programs


def test_a_link_on_the_way_is_looked_at_as_well(tmp_path: Path) -> None:
    """Whoever may change it may have it lead anywhere, after somebody looked where it leads."""
    own, of_others = tmp_path / "own", tmp_path / "of-others"
    for folder in (own, of_others):
        folder.mkdir(mode=0o755)
    script = own / "real"
    script.write_text("#!/bin/sh\necho 9.9\n")
    script.chmod(0o755)
    (of_others / "link").symlink_to("../own/real")
    (own / "claude").symlink_to(of_others / "link")
    (own / "codex").symlink_to("real")
    service = programs.Service([str(own)], "", os.geteuid())

    def unasked() -> dict[str, str]:
        return dict(programs.look({"PATH": "/usr/bin:/bin"}, service, os.geteuid()).unasked)

    assert unasked() == {}
    of_others.chmod(0o777)
    assert unasked() == {"claude": "other users may replace it"}
