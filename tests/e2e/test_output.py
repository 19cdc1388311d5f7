"""Output arrives complete, in order and byte for byte."""

import hashlib
import sys

from tests.support.installation import Installation

BYTES = 64 * 1024 * 1024
WRITER = f"""
import os, random, sys
rnd = random.Random(7)
left = {BYTES}
while left:
    piece = rnd.randbytes(min(left, 65536 + rnd.randrange(9000)))
    view = memoryview(piece)
    while view:
        view = view[os.write(1, view):]
    left -= len(piece)
"""


def _expected() -> str:
    import random  # noqa: PLC0415  # the same stream as the writer's

    rnd, left, digest = random.Random(7), BYTES, hashlib.sha256()
    while left:
        piece = rnd.randbytes(min(left, 65536 + rnd.randrange(9000)))
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def test_64_mib_arrive_complete_and_in_order(house: Installation) -> None:
    """Sixty-four MiB of random bytes have the same SHA-256 after their journey."""
    job_id = house.submit("--", sys.executable, "-c", WRITER)
    job = house.wait_state(job_id, "succeeded", "failed", timeout_s=100)

    with house.get(f"/api/v1/jobs/{job_id}/output/raw?stream=stdout") as answer:
        digest, length = hashlib.sha256(), 0
        while piece := answer.read(1024 * 1024):
            digest.update(piece)
            length += len(piece)

    assert job["attempts"][0]["stdout_bytes"] == BYTES
    assert job["attempts"][0]["output_missing_bytes"] == 0
    assert (length, digest.hexdigest()) == (BYTES, _expected())


def test_bytes_that_are_no_text_are_kept(house: Installation) -> None:
    """NULs and invalid UTF-8 come back exactly as they were written."""
    done = house.cli(
        *("jobs", "submit", "--follow", "--"),
        *("sh", "-c", r"printf 'a\000b\377\376c\n'"),
    )

    assert done.stdout == b"a\0b\xff\xfec\n"


def test_stdout_and_stderr_are_told_apart(house: Installation) -> None:
    """Each stream can be read alone."""
    job_id = house.submit("--", "sh", "-c", "echo good; echo bad >&2")
    house.wait_state(job_id, "succeeded")

    out = house.cli("jobs", "logs", job_id, "--stream", "stdout")
    err = house.cli("jobs", "logs", job_id, "--stream", "stderr")

    assert (out.stdout, err.stdout + err.stderr) == (b"good\n", b"bad\n")
