"""A command that cannot be started: each time a record that says what is wrong and what to do."""

from pathlib import Path
from typing import Any

import anyio

from tests.integration.shim.workshop import workshop
from tests.support.needs import as_anybody


def _file(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _cases(folder: Path) -> dict[str, tuple[list[str], dict[str, Any], str]]:
    """Return name → argv, fields of the order, and what the message must say."""
    (folder / "elsewhere").mkdir()
    (folder / "root").mkdir()
    (folder / "root/out").symlink_to("../elsewhere")
    plain = _file(folder / "plain", "#!/bin/sh\n", 0o600)
    here = {"cwd": str(folder)}
    return {
        "missing": (
            ["no-such-program"],
            {"env": {"PATH": "/usr/bin:/bin"}},
            "'no-such-program' was not found in the job's PATH (/usr/bin:/bin): install it",
        ),
        "missing path": (["./gone"], here, f"'./gone' does not exist in '{folder}': check"),
        "not a folder on the way": ([f"{plain}/x"], {}, "does not exist"),
        "not executable": (["./plain"], here, "'./plain' is not executable for the worker's user"),
        "not executable in PATH": (["plain"], {"env": {"PATH": str(folder)}}, "is not executable"),
        "a folder": (["./root"], here, "'./root' is a folder: give the path of a program"),
        "no format": (
            [_file(folder / "text", "just text\n", 0o700)],
            {},
            "has no format that this machine can run: begin a script with a line such as #!/bin/sh",
        ),
        "no interpreter": (
            [_file(folder / "script", "#!/opt/none/bin/perl -w\n", 0o700)],
            {},
            "names the interpreter '/opt/none/bin/perl', which this worker does not have",
        ),
        "too long": (
            ["true", *["x" * 100_000] * 40],
            {},
            "are too long for this machine: pass data by stdin or as an input file",
        ),
        "argument too long": (["true", "x" * 200_000], {}, "the longest of 200000 bytes"),
        "an empty name": ([""], {}, "'' was not found"),
        "NUL in an argument": (["true", "a\0b"], {}, "remove NUL characters"),
        "lone surrogate": (["true", "a\ud800b"], {}, "lone surrogates"),
        "bad variable": (["true"], {"env": {"A=B": "c"}}, "env"),
        "missing cwd": ([], {"cwd": "/no/such"}, "working directory '/no/such' does not exist"),
        "cwd is a file": ([], {"cwd": plain}, f"working directory '{plain}' is not a folder"),
        "cwd too long": ([], {"cwd": "/" + "x" * 5000}, "cannot be entered"),
        "NUL in cwd": ([], {"cwd": "/a\0b"}, "cannot be entered"),
        "cwd leads out": (
            [],
            {"cwd": str(folder / "root/out"), "root": str(folder / "root")},
            f"leads to '{folder}/elsewhere', outside of '{folder}/root'",
        ),
        "cwd beside the root": (
            [],
            {"cwd": str(folder / "elsewhere"), "root": str(folder / "else")},
            "outside of",
        ),
    }


async def test_each_reason_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A command that cannot be started leaves a record that names the thing and what to do."""
    folder = tmp_path / "folder"
    folder.mkdir()
    async with workshop(tmp_path) as shop:
        for name, (argv, fields, message) in _cases(folder).items():
            said = await shop.run(*argv, **fields)

            end = said.end
            assert (end.cause, end.code, end.signal) == ("spawn_error", None, None), name
            assert message in (end.message or ""), name
            assert (said.began, said.log, end.started_us) == (None, b"", None), name
        # The shim is none the worse for it.
        assert (await shop.run("true")).end.code == 0
        assert len(shop.shims) == 1


def test_a_closed_folder_is_told(tmp_path: Path) -> None:
    """A folder that may not be entered is named, with what to do about it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)

    async def run() -> None:
        async with workshop(tmp_path) as shop:
            said = await shop.run("true", cwd=str(closed))
        assert f"{str(closed)!r} may not be entered" in (said.end.message or "")

    as_anybody(lambda: anyio.run(run))
    closed.chmod(0o700)
