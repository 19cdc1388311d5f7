"""Where this process's control group is, as the kernel tells it."""

from pathlib import Path

import pytest

from orchestrator.kernel.delegation import folder_of

MOUNT = "41 31 0:38 {root} {place} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHERS = (
    "23 1 8:1 / / rw - ext4 /dev/sda rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n"
)


@pytest.mark.parametrize(
    ("groups", "root", "place", "folder"),
    [
        ("0::/", "/", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("9:name=systemd:/a\n0::/", "/", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"),
        ("0::/system.slice/o.service", "/", "/cg", "/cg/system.slice/o.service"),
        ("0::/docker/abc/deep", "/docker/abc", "/sys/fs/cgroup", "/sys/fs/cgroup/deep"),
        ("0::/elsewhere", "/docker/abc", "/sys/fs/cgroup", None),
        ("0::/../outside", "/", "/sys/fs/cgroup", None),
        ("4:memory:/only/v1", "/", "/sys/fs/cgroup", None),
        ("", "/", "/sys/fs/cgroup", None),
    ],
)
def test_the_folder_of_a_group(groups: str, root: str, place: str, folder: str | None) -> None:
    """It is below the mount that shows it; what is outside of the mount has no folder."""
    found = folder_of(groups + "\n", OTHERS + MOUNT.format(root=root, place=place))

    assert found == (None if folder is None else Path(folder))


def test_a_machine_without_such_groups() -> None:
    """Nothing is mounted, so there is none."""
    assert folder_of("0::/\n", OTHERS) is None
