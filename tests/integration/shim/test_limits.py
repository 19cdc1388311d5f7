"""What one job may use: its memory, its open files, its output, its share of the processor."""

import json
import os
from pathlib import Path

import psutil

from orchestrator.protocol.limits import KIB, MIB
from tests.integration.shim.workshop import come_true, workshop
from tests.support.processes import python
from worker.records import Began, Cause, Exited
from worker.settings import JobLimits

EAT = "import time; held = bytearray(b'x') * ({} << 20); print('full', flush=True); time.sleep({})"
FORK = """
import os, time
held = bytearray(b"x") * (40 << 20)
for _ in range(4):
    if os.fork() == 0:
        time.sleep(1.5)
        os._exit(0)
time.sleep(1.5)
"""
CHURN = """
import os, time
held = bytearray(b"x") * (60 << 20)
end = time.monotonic() + 2
children = set()
while time.monotonic() < end:
    while len(children) < 6:
        child = os.fork()
        if child == 0:
            time.sleep(0.004)
            os._exit(0)
        children.add(child)
    children.discard(os.wait()[0])
while children:
    children.discard(os.wait()[0])
"""
SPREAD = """
import os, subprocess, sys
eat = "import signal; held = bytearray(b'x') * (40 << 20); signal.pause()"
for _ in range(4):
    subprocess.Popen([sys.executable, "-S", "-c", eat], start_new_session=True)
"""
FILES = """
import json, os, resource
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print(json.dumps([len(held), error.errno, resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def _limits(**fields: float) -> JobLimits:
    return JobLimits.model_validate(fields)


async def test_too_much_memory_ends_a_job(tmp_path: Path) -> None:
    """It is killed, the reason is `oom`, and the message says how much it had."""
    async with workshop(tmp_path) as shop:
        command = python("-S", "-c", EAT.format(120, 60))
        said = await shop.run(*command, limits=_limits(memory_bytes=64 * MIB), grace_s=30.0)

        assert said.end.cause is Cause.OOM
        assert said.end.message is not None
        assert said.end.message.startswith("memory limit 64.0 MiB exceeded (peak ")
        assert said.end.wall_s < 20

        # The next job of the same shim has no limit.
        said = await shop.run(*python("-S", "-c", EAT.format(120, 0)))
        assert (said.end.cause, said.out) == (Cause.EXITED, b"full\n")


async def test_all_processes_of_a_job_count_together(tmp_path: Path) -> None:
    """Four small ones in sessions of their own are a large one, and nobody of them stays."""
    async with workshop(tmp_path) as shop:
        command = python("-S", "-c", SPREAD + "import signal; signal.pause()")
        said = await shop.run(*command, limits=_limits(memory_bytes=128 * MIB))

        assert said.end.cause is Cause.OOM
        assert said.end.leftovers == 4


async def test_shared_memory_counts_once(tmp_path: Path) -> None:
    """A program that forks is no larger for it."""
    async with workshop(tmp_path) as shop:
        command = python("-S", "-c", FORK)
        said = await shop.run(*command, limits=_limits(memory_bytes=120 * MIB))

        assert (said.end.cause, said.end.code, said.end.message) == (Cause.EXITED, 0, None)


async def test_memory_of_who_ends_meanwhile_is_not_counted(tmp_path: Path) -> None:
    """Children that come and go while they are added up make their parent no larger."""
    async with workshop(tmp_path) as shop:
        command = python("-S", "-c", CHURN)
        said = await shop.run(*command, limits=_limits(memory_bytes=120 * MIB))

        assert (said.end.cause, said.end.code, said.end.message) == (Cause.EXITED, 0, None)


async def test_open_files_are_limited_for_good(tmp_path: Path) -> None:
    """Soft and hard; and the next job of the same shim has what everybody has."""
    async with workshop(tmp_path) as shop:
        said = await shop.run(*python("-S", "-c", FILES), limits=_limits(open_files=64))
        held, _, limits = json.loads(said.out)
        assert held == 61
        assert limits == [64, 64]

        said = await shop.run("sh", "-c", "ulimit -n")
        assert int(said.out) > 64


async def test_a_nice_job_lets_others_go_first(tmp_path: Path) -> None:
    """Its niceness is above its shim's, whose own stays."""
    async with workshop(tmp_path) as shop:
        log = await shop.start("sleep", "60", limits=_limits(nice=7))
        records = log.records()
        began = await anext(records)
        assert isinstance(began, Began)
        own = os.getpriority(os.PRIO_PROCESS, 0)

        await come_true(lambda: psutil.Process(began.pid).nice() == min(19, own + 7))
        assert {shim.nice() for shim in shop.shims} == {own}

        log.cancel(Cause.CANCELLED, 0.0)
        async for record in records:
            assert isinstance(record, Exited)


async def test_more_output_than_is_kept_loses_its_middle(tmp_path: Path) -> None:
    """The beginning and the end are there, with a note in between; the command never notices."""
    async with workshop(tmp_path) as shop:
        command = python("-S", "-c", "for n in range(100000): print(f'{n:07}')")
        said = await shop.run(*command, limits=_limits(output_bytes=64 * KIB))

        assert said.end.code == 0
        assert said.out.startswith(b"0000000\n0000001\n")
        assert said.out.endswith(b"0099998\n0099999\n")
        assert len(said.out) == 64 * KIB
        assert said.end.message is not None
        assert f"{800_000 - 64 * KIB} bytes of its output were not kept" in said.end.message
