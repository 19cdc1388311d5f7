"""What a command finds around it: its own things, and nothing of ours."""

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.shim.workshop import Workshop, heard, order, told, workshop
from tests.support.processes import python

LOOK = """
import json, os, resource, sys
def read(path):
    with open(path) as file:
        return file.read()
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        pass
print(json.dumps({
    "fds": fds, "umask": os.umask(0), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "oom": int(read("/proc/self/oom_score_adj")), "session": os.getsid(0), "group": os.getpgrp(),
    "shim_oom": int(read(f"/proc/{os.getppid()}/oom_score_adj")),
    "pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "argv": sys.argv[1:],
}))
"""
GLIBC_OWN = 1 << 31 | 1 << 32
"""glibc's spawn ignores the two signals, 32 and 33, that it keeps for itself."""


async def look(shop: Workshop, *arguments: str, **fields: Any) -> dict[str, Any]:
    """Return what a command sees."""
    said = await shop.run(*python("-S", "-c", LOOK, *arguments), **fields)
    assert (said.end.code, said.err) == (0, b"")
    seen: dict[str, Any] = json.loads(said.out)
    return seen


async def test_a_command_has_three_descriptors(tmp_path: Path) -> None:
    """Whatever the launcher, the shim and this process have open, a job has 0, 1 and 2."""
    async with workshop(tmp_path) as shop:
        # The second attempt of a shim is the one that could inherit from the first.
        for _ in range(2):
            seen = await look(shop)

            assert set(seen["fds"]) == {"0", "1", "2"}
            assert seen["fds"]["0"] == "/dev/null"
            assert seen["fds"]["1"].startswith("pipe:")
            assert seen["fds"]["2"].startswith("pipe:")
            assert seen["fds"]["1"] != seen["fds"]["2"]


async def test_a_command_starts_like_on_the_first_day(tmp_path: Path) -> None:
    """It leads a session of its own, blocks and ignores nothing, and its files are private."""
    async with workshop(tmp_path) as shop:
        seen = await look(shop)
        # Not asked by Python, which ignores signals of its own accord.
        status = (await shop.run("cat", "/proc/self/status")).out.decode()

    lines = [line.split(maxsplit=1) for line in status.splitlines() if "Sig" in line]
    sets = {name: int(value, 16) for name, value in lines if name in {"SigBlk:", "SigIgn:"}}
    assert seen["session"] == seen["group"] == seen["pid"]
    assert sets["SigBlk:"] == 0
    assert sets["SigIgn:"] & ~GLIBC_OWN == 0
    assert seen["umask"] == 0o077
    assert seen["core"] == list(resource.getrlimit(resource.RLIMIT_CORE)), "whoever started us may"


async def test_a_command_is_killed_before_its_shim_when_memory_is_short(tmp_path: Path) -> None:
    """The command is marked for the kernel's choice, and the shim that keeps it is not."""
    own = int(Path("/proc/self/oom_score_adj").read_text())

    async with workshop(tmp_path) as shop:
        seen = await look(shop)

    assert seen["oom"] == max(500, own)
    assert seen["shim_oom"] == own


async def test_a_command_sees_its_own_environment(tmp_path: Path) -> None:
    """It has what the order says and the marks of its attempt, and nothing of this process."""
    env = {"PATH": "/usr/bin:/bin", "GREETING": "grüß\udcff Gott", "EMPTY": ""}

    async with workshop(tmp_path) as shop:
        given = order(*python("-S", "-c", LOOK), env=env, attempt=3)
        seen = json.loads((await told(await shop.pool.start(given))).out)

    # Python itself may add LC_CTYPE when it starts without a locale.
    seen["env"].pop("LC_CTYPE", None)
    marks = {"ORCHESTRATOR_JOB_ID": given.job_id, "ORCHESTRATOR_ATTEMPT": "3"}
    assert seen["env"] == {**env, **marks}


async def test_arguments_arrive_literally(tmp_path: Path) -> None:
    """Nothing is expanded, split or interpreted on the way to a program."""
    arguments = ["$(id)", "`id`", ";id", "a\nb", "-rf", "", "*", "ünï", "'\"\\", "a b"]

    async with workshop(tmp_path) as shop:
        seen = await look(shop, "--", *arguments)

    assert seen["argv"] == ["--", *arguments]


async def test_a_command_runs_in_its_folder(tmp_path: Path) -> None:
    """The folder of the order is the command's, by whatever name it was given."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    async with workshop(tmp_path) as shop:
        seen = await look(shop, cwd=str(tmp_path / "link"), root=str(tmp_path))

    assert seen["cwd"] == str(tmp_path / "real")


async def test_a_command_reads_what_it_is_given(tmp_path: Path) -> None:
    """Standard input is exactly the bytes of the order; without any it is at its end at once."""
    given = bytes(range(256)) * 1024

    async with workshop(tmp_path) as shop:
        said = await shop.run("cat", stdin=given)
        silent = await shop.run("cat")
        empty = await shop.run("cat", stdin=b"")

    assert (said.end.code, said.out) == (0, given)
    assert (silent.end.code, silent.out) == (0, b"")
    assert (empty.end.code, empty.out) == (0, b"")


async def test_a_grant_may_be_large(tmp_path: Path) -> None:
    """An order that no socket takes in one message arrives all the same."""
    arguments = ["x" * 100_000, "y" * 100_000]
    env = {"PATH": os.defpath, "LONG": "z" * 100_000}

    async with workshop(tmp_path) as shop:
        seen = await look(shop, *arguments, env=env, stdin=b"not read")

    assert seen["argv"] == arguments
    assert seen["env"]["LONG"] == env["LONG"]


async def test_a_durable_grant_starts_as_well(tmp_path: Path) -> None:
    """An attempt whose grant is synced before it starts runs like any other."""
    async with workshop(tmp_path) as shop:
        said = await shop.run("cat", stdin=b"once", durable=True)

    assert (said.end.code, said.out) == (0, b"once")


async def test_an_executable_is_found_as_the_job_would_find_it(tmp_path: Path) -> None:
    """A bare name is looked up in the job's PATH, whose relative folders are the job's own."""
    for folder in ("bin", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin/hello").write_text("#!/bin/sh\necho from bin\n")
    (tmp_path / "bin/hello").chmod(0o700)
    (tmp_path / "other/hello").write_text("not executable, so it is passed over\n")

    async with workshop(tmp_path) as shop:
        said = await shop.run(
            "hello", cwd=str(tmp_path), env={"PATH": "/nowhere:other:bin:/usr/bin:/bin"}
        )
        relative = await shop.run("bin/hello", cwd=str(tmp_path))

    assert (said.end.code, said.out) == (0, b"from bin\n")
    assert (relative.end.code, relative.out) == (0, b"from bin\n")


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
async def test_an_exit_code_is_exact(tmp_path: Path, code: int) -> None:
    """What the command returns is what is recorded, with when it began and ended."""
    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", f"exit {code}")

    end = said.end
    assert (end.cause, end.code, end.signal, end.leftovers) == ("exited", code, None, 0)
    assert said.began is not None
    assert end.started_us is not None
    assert said.began.at_us == end.started_us <= end.ended_us
    assert 0 <= end.wall_s < 10
    assert end.max_rss_kib > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
async def test_a_signal_is_exact(tmp_path: Path, number: signal.Signals) -> None:
    """A command that a signal ended has that signal, and no code."""
    async with workshop(tmp_path) as shop:
        said = await shop.run("sh", "-c", f"kill -{int(number)} $$")

    assert (said.end.cause, said.end.code, said.end.signal) == ("exited", None, number)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE])
async def test_a_signal_that_is_no_order_ends_no_shim(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Whatever else a shim is sent, its job goes on."""
    async with workshop(tmp_path) as shop:
        script = "echo up; while [ ! -e stop ]; do sleep 0.01; done; exit 3"
        log = await shop.start("sh", "-c", script, cwd=str(tmp_path))
        await heard(log, b"up")

        for shim in shop.shims:
            shim.send_signal(number)
        (tmp_path / "stop").touch()

        assert (await told(log)).end.code == 3
