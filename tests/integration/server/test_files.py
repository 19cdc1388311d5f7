"""Uploads: a raw body in, the same bytes out, and nothing left of what was refused."""

import hashlib
import io
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.errors import StorageFull
from orchestrator.server.files import FileStore, Received
from orchestrator.server.upkeep.housekeeping import Housekeeping
from tests.integration.server.site import Site, problem, running
from tests.integration.server.worker import Worker, at_work
from tests.integration.shim.test_disk_full import MIB, small_disk
from tests.support.builders import command
from tests.support.waiting import until

FILES = "/api/v1/files"


def zipped(**members: str) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/"), text)
    return buffer.getvalue()


def escaping() -> bytes:
    """Return a zip archive that would write outside of where it is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil", "x")
    return buffer.getvalue()


def kept(site: Site) -> list[Path]:
    """Return every file below the folder of uploads."""
    return [path for path in (site.folder / "files").rglob("*") if path.is_file()]


async def upload(site: Site, data: bytes, query: str = "") -> str:
    """Store bytes and return their name."""
    answer = await site.http.post(f"{FILES}{query}", content=data, headers=site.admin)
    assert answer.status_code == 201, answer.text
    sha256: str = answer.json()["sha256"]
    return sha256


async def fetch(worker: Worker, sha256: str, job_id: str, attempt: int = 1) -> tuple[int, bytes]:
    """Ask for an input as the worker does; return the status and what came."""
    query: dict[str, str | int] = {
        "session_id": worker.session,
        "job_id": job_id,
        "attempt": attempt,
    }
    answer = await worker.site.http.get(
        f"/api/worker/v1/files/{sha256}", params=query, headers=worker.headers
    )
    return answer.status_code, answer.content


async def test_a_file_is_named_by_its_content(site: Site) -> None:
    """The answer names the SHA-256 and the size of exactly what was sent, in one piece or many."""
    data = bytes(range(256)) * 20_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_003):
            yield data[start : start + 100_003]

    whole = await site.http.post(FILES, content=data, headers=site.admin)
    chunked = await site.http.post(FILES, content=pieces(), headers=site.admin)

    assert whole.status_code == chunked.status_code == 201
    assert whole.json() == chunked.json()
    assert whole.json()["sha256"] == hashlib.sha256(data).hexdigest()
    assert whole.json()["size"] == len(data)
    assert [path.read_bytes() for path in kept(site)] == [data]


async def test_files_are_their_owners_alone(site: Site) -> None:
    """No other user of the machine can read what was uploaded."""
    await upload(site, b"secret")

    for path in (site.folder, *site.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_an_empty_file_is_a_file(site: Site) -> None:
    """Nothing is a content, too."""
    assert await upload(site, b"") == hashlib.sha256(b"").hexdigest()


async def test_a_file_that_is_too_long_leaves_nothing(tmp_path: Path) -> None:
    """An upload over the limit is refused, said or unsaid, and no byte of it stays."""
    async with running(tmp_path, max_upload_bytes=1000) as site:

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        said = await site.http.post(FILES, content=b"x" * 1001, headers=site.admin)
        unsaid = await site.http.post(FILES, content=pieces(), headers=site.admin)
        exact = await site.http.post(FILES, content=b"x" * 1000, headers=site.admin)

        for answer in (said, unsaid):
            told = problem(answer, 413, "body_too_large")
            assert "1000 bytes" in told["detail"]
            assert "ORCHESTRATOR_MAX_UPLOAD_BYTES" in told["hint"]
        assert exact.status_code == 201
        assert len(kept(site)) == 1


async def test_a_file_that_is_said_to_be_too_long_need_not_be_sent(tmp_path: Path) -> None:
    """Who asks before sending is refused at once, and is not told to go on."""
    async with running(tmp_path, max_upload_bytes=1000) as site:
        head = (
            f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n"
            "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n"
        )
        async with site.socket() as stream:
            await stream.send(head.encode())
            with anyio.fail_after(5):
                answer = await stream.receive()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_file_that_the_disk_does_not_take_is_refused_until_it_does(site: Site) -> None:
    """Whatever the disk says, at whichever step: a refusal that says so, and nothing is left."""
    data = b"content"
    place = site.folder / "files" / "objects" / hashlib.sha256(data).hexdigest()[:2]
    place.write_text("in the way")

    answer = await site.http.post(FILES, content=data, headers=site.admin)
    problem(answer, 503, "storage_failed")
    assert kept(site) == [place]

    place.unlink()
    await upload(site, data)


async def test_a_name_for_which_there_is_no_room_is_refused(tmp_path: Path) -> None:
    """A disk can be full although the content found room: folders take some, too."""
    with small_disk(tmp_path / "disk", 1024 * MIB, files=4) as disk:
        files = FileStore(disk)
        files.open()

        async def record(received: Received) -> str:
            return received.sha256

        async def pieces() -> AsyncIterator[bytes]:
            yield b"content"

        with pytest.raises(StorageFull):
            await files.receive(pieces(), record)
        assert [path for path in disk.rglob("*") if path.is_file()] == []


async def test_an_upload_that_is_cut_off_leaves_nothing(site: Site) -> None:
    """A client that goes away in the middle leaves no file behind."""
    head = (
        f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n"
        "Content-Length: 5000000\r\n\r\n"
    )
    async with site.socket() as stream:
        await stream.send(head.encode() + b"x" * 2_000_000)
        await until(lambda: _has(site, 1), what="the upload had begun")

    await until(lambda: _has(site, 0), what="nothing was left of it")


async def _has(site: Site, count: int) -> bool:
    return len(kept(site)) == count


async def test_an_archive_that_is_safe_is_taken(site: Site) -> None:
    """With `check=zip` an ordinary archive is stored like any file."""
    data = zipped(Makefile="test:\n\ttrue\n", src__main_c="int main(){}")

    assert await upload(site, data, "?check=zip") == hashlib.sha256(data).hexdigest()


async def test_an_archive_that_is_not_safe_is_refused(site: Site) -> None:
    """Escaping names, bombs and what is no archive are refused by name, and nothing stays."""
    bomb = zipped(zeros="\0" * 50_000_000)
    for data in (escaping(), bomb, b"not a zip", zipped(a="x")[:-5]):
        answer = await site.http.post(f"{FILES}?check=zip", content=data, headers=site.admin)

        told = problem(answer, 422, "zip_unsafe")
        assert told["hint"]
        assert kept(site) == []


async def test_an_unknown_check_is_refused(site: Site) -> None:
    """Only checks that exist can be asked for."""
    answer = await site.http.post(f"{FILES}?check=tar", content=b"x", headers=site.admin)

    assert problem(answer, 422, "request_invalid")["fields"][0]["field"] == "check"


async def test_a_form_is_refused(site: Site) -> None:
    """Multipart forms are 415 with how to send a file instead."""
    answer = await site.http.post(FILES, files={"file": b"x"}, headers=site.admin)

    assert "/api/v1/files" in problem(answer, 415, "multipart_refused")["hint"]


async def test_a_job_may_only_name_files_that_are_stored(site: Site) -> None:
    """A job with an input that is not there is refused, and taken once it was uploaded."""
    data = b"input"
    name = hashlib.sha256(data).hexdigest()
    job = command("cat", "in.txt", inputs=[{"file": name, "name": "in.txt"}])

    told = problem(await site.post("/api/v1/jobs", job), 422, "input_missing")
    await upload(site, data)

    assert told["fields"][0]["field"] == "inputs.0.file"
    await site.submit(job)


async def test_a_worker_gets_the_inputs_of_its_own_attempts(site: Site) -> None:
    """An input goes byte for byte to the worker that has the attempt, and to nobody else."""
    data = bytes(range(256)) * 5000
    name = await upload(site, data)
    other_file = await upload(site, b"of another job")
    worker, stranger = await at_work(site), await at_work(site, name="two")
    job_id = await site.submit(command(inputs=[{"file": name, "name": "in"}]))

    before = await fetch(worker, name, job_id)
    await worker.claim()

    assert before[0] == 404
    assert await fetch(worker, name, job_id) == (200, data)
    assert (await fetch(stranger, name, job_id))[0] == 404
    assert (await fetch(worker, other_file, job_id))[0] == 404
    assert (await fetch(worker, name, job_id, attempt=2))[0] == 404
    await worker.start(job_id)
    await worker.end(job_id)
    assert (await fetch(worker, name, job_id))[0] == 404


async def test_what_a_crash_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Half an upload is gone after a start; a whole file without a row with the next cleaning."""
    async with running(tmp_path) as first:
        name = await upload(first, b"kept")
    half = tmp_path / "files/incoming/half"
    half.write_bytes(b"half")
    orphan = tmp_path / "files/objects/ab" / f"ab{'0' * 62}"
    orphan.parent.mkdir(mode=0o700, exist_ok=True)
    orphan.write_bytes(b"orphan")

    async with running(tmp_path) as second:
        assert not half.exists()
        await until(lambda: _has(second, 1), what="the orphan was removed")

        assert [path.name for path in kept(second)] == [name]


async def test_cleaning_and_uploading_do_not_meet(site: Site) -> None:
    """A file that is uploaded while everything is cleaned keeps its bytes and its row."""
    services = site.services
    keeper = Housekeeping(services.store, services.outputs, services.files, services.clock)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(upload, site, f"file {number}".encode())
            group.start_soon(keeper.clean)

    for number in range(20):
        data = f"file {number}".encode()
        name = hashlib.sha256(data).hexdigest()
        assert services.files.path_of(name).read_bytes() == data
        await site.submit(command(inputs=[{"file": name, "name": "in"}]))
