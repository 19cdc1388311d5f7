"""Configuration files by the thousand: valid ones by construction, and ones with a known mistake.

A seed is a file. A valid one is built from values that are all allowed and written in one of the
ways in which people and programs write YAML and JSON; a spoilt one is a valid one with one thing
done to it, and says in which line that has to be noticed.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.configs import URL, ConfigFolder, token

WORDS: Final = ("node", "build", "gpu", "python3.12", "os/linux", "a=b", "x+y", "deep_learning")
DURATIONS: Final = ("1s", "90s", "5m", "1h30m", "2h", "7d", "1500ms")
SIZES: Final = ("64MiB", "2GiB", "512 MiB", "10mb", "1.5GiB")


@dataclass
class Made:
    """A file, and what is known about it."""

    text: str
    secrets: set[str] = field(default_factory=set)
    workers: int = 0
    line: int | None = None
    """Where a mistake has to be noticed."""
    code: str | None = None
    raw: bytes | None = None

    @property
    def content(self) -> bytes:
        """Return the bytes of the file."""
        return self.text.encode() if self.raw is None else self.raw


class Maker:
    """Makes files from a seed in a folder that has what they name."""

    def __init__(self, seed: int, folder: ConfigFolder) -> None:
        self.dice = random.Random(seed)
        self.folder = folder
        self.secrets: set[str] = set()
        folder.environ["TOKEN_9000"] = token(9000)
        folder.private("tokens/9001", token(9001) + "\n")
        folder.private("jobs.env", "FROM_FILE=1\n")
        self.secrets |= {token(9000), token(9001)}

    def data(self) -> dict[str, Any]:
        """Return the plain data of a file in which everything is allowed."""
        server = self.maybe({"listen": self.one("127.0.0.1:8700", "[::1]:0", "localhost:1")})
        workers = [self.worker(number) for number in range(self.dice.randint(1, 6))]
        data = {
            "version": 1,
            "server": server,
            "machine": self.maybe(self.some(self.machine())),
            "defaults": {"server_url": URL, **self.some(self.common())},
            "workers": workers,
        }
        return {key: value for key, value in data.items() if value is not None}

    def machine(self) -> dict[str, Any]:
        """Return everything that can be said of a machine."""
        return {
            "name": self.one("oak", "the big one", "büro-3"),
            "max_jobs": self.one("auto", 1, 65_536),
            "tags": self.tags(),
            "drain_timeout": self.one(*DURATIONS),
            "keep_jobs_on_stop": self.one(True, False),
            "disk": self.some({"min_free": self.one("10%", "2GiB"), "spool_max": "1GiB"}),
            "watch_config": self.one(True, False),
        }

    def common(self) -> dict[str, Any]:
        """Return everything that can be said of all workers."""
        return {
            "enabled": self.one(True, False),
            "paused": self.one(True, False),
            "create_working_directory": self.one(True, False),
            "allow_insecure": self.one(True, False),
            "concurrency": self.dice.randint(1, 1024),
            "tags": self.tags(),
            "kinds": self.one(["command"], ["delay", "command"]),
            "env": self.env(),
            "env_file": self.one("jobs.env", "~/jobs.env", "${HOME}/jobs.env"),
            "env_pass": ["SSH_AUTH_SOCK", "LC_*"],
            "limits": self.some(self.limits()),
            "kill_grace": self.one("0s", "10s", "1h"),
            "drain_timeout": self.one(*DURATIONS),
        }

    def limits(self) -> dict[str, Any]:
        """Return every limit."""
        return {
            "timeout": self.one(*DURATIONS),
            "memory": self.one(*SIZES),
            "cpus": self.one(0.5, 1, 2.25),
            "pids": self.dice.randint(1, 4000),
            "open_files": 1024,
            "output": self.one("1MiB", "64MiB"),
            "nice": self.dice.randint(0, 19),
        }

    def env(self) -> dict[str, str]:
        """Return variables, each with a secret in it."""
        names = self.dice.sample(("A", "DB_PASSWORD", "api_key", "_X1", "PATH"), 2)
        return {name: self.one(self.secret(), self.secret(), "${env:TOKEN_9000}") for name in names}

    def worker(self, number: int) -> dict[str, Any]:
        """Return a worker with which nothing is wrong."""
        needed = {
            "name": f"w{number}{self.one('', '.x', '_y', '-z')}",
            "token": self.token(number),
            "working_directory": self.one("web", "./web", "~/web", "${HOME}/web", "../config/web"),
        }
        said = needed | self.some({"server_url": f"{URL}/{number}", **self.common()})
        keys = list(said)
        self.dice.shuffle(keys)
        return {key: said[key] for key in keys}

    def token(self, number: int) -> str:
        """Return a token, or what leads to one that no other worker has."""
        number += self.dice.randint(0, 800) * 10
        self.secrets.add(token(number))
        path = self.folder.private(f"tokens/{number}", token(number) + self.one("", "\n", "\r\n"))
        self.folder.environ[f"TOKEN_{number}"] = token(number)
        chosen: str = self.one(
            token(number),
            f"${{file:tokens/{number}}}",
            f"${{file:~/tokens/{number}}}",
            f"${{env:TOKEN_{number}}}",
            f"${{cmd:cat {path}}}" if self.dice.random() < 0.2 else token(number),
        )
        return chosen

    def tags(self) -> list[str]:
        """Return a few tags."""
        return self.dice.sample(WORDS, self.dice.randint(0, 3))

    def secret(self) -> str:
        """Return a text that must not be seen anywhere."""
        text = "".join(self.dice.choices("abcdefghijkmnpqrstuvwxyz23456789", k=24))
        self.secrets.add(text)
        return text

    def one(self, *choices: Any) -> Any:
        """Return one of them."""
        return self.dice.choice(choices)

    def maybe(self, value: Any) -> Any:
        """Return it, or nothing."""
        return value if self.dice.random() < 0.6 else None

    def some(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return some of them."""
        return {key: value for key, value in values.items() if self.dice.random() < 0.35}


def valid(seed: int, folder: ConfigFolder) -> Made:
    """Return a file that has to be loaded."""
    maker = Maker(seed, folder)
    data = maker.data()
    style = maker.one("block", "block", "block", "json", "pretty", "flow")
    if style == "block":
        text = "\n".join(block(data, maker.dice)) + "\n"
    elif style == "flow":
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in data.items())
    else:
        indent = maker.one(1, 2, "\t") if style == "pretty" else None
        text = json.dumps(data, indent=indent, ensure_ascii=maker.one(True, False))
        text = text.replace("https://", maker.one("https://", "https:\\/\\/"))
    made = Made(text, maker.secrets, len(data["workers"]))
    ending = maker.one("\n", "\n", "\r\n")
    made.raw = text.replace("\n", ending).encode(maker.one("utf-8", "utf-8", "utf-8-sig"))
    return made


def block(data: dict[str, Any], dice: random.Random, indent: str = "") -> list[str]:
    """Return lines in block style, with the freedoms that YAML gives."""
    lines: list[str] = []
    for key, value in data.items():
        if dice.random() < 0.1:
            lines += dice.choice(([""], [f"{indent}# a comment: with a colon"], ["   "]))
        name = dice.choice((key, key, key, f'"{key}"', f"'{key}'"))
        if isinstance(value, dict) and value and dice.random() < 0.8:
            lines.append(f"{indent}{name}:")
            lines += block(value, dice, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{name}:")
            for item in value:
                first, *rest = block(item, random.Random(0), indent + "    ")
                lines += [f"{indent}  - {first.strip()}", *rest]
        else:
            lines.append(f"{indent}{name}: {scalar(value, dice)}{dice.choice(('', '', '  # why'))}")
    return lines


def scalar(value: Any, dice: random.Random) -> str:
    """Return a value as YAML, in one of the ways to write it."""
    if isinstance(value, list | dict) or not isinstance(value, str):
        return json.dumps(value)
    if dice.random() < 0.5 and not value.startswith("[") and ": " not in value:
        return value
    return dice.choice((json.dumps(value), f"'{value}'"))


INSERTED: Final = ("limits", "server_url", "env_file", "paused")
"""What is put among the keys of a worker, which therefore has none of it before."""
Spoil = Callable[[list[str], random.Random], tuple[int, str]]
"""Changes lines, and returns the number of the one where that shows, and the problem's code; empty
where that depends on what follows."""


def spoilt(seed: int, folder: ConfigFolder) -> Made:
    """Return a file with one mistake."""
    maker = Maker(seed, folder)
    data = maker.data()
    first = data["workers"][0]
    data["workers"][0] = {key: first[key] for key in first if key not in INSERTED} | {
        "env": {"A": maker.secret()},
        "concurrency": 2,
        "tags": ["x"],
        "create_working_directory": False,
        "allow_insecure": False,
    }
    lines = block(data, random.Random(1))
    spoil = SPOILS[seed % len(SPOILS)]
    line, code = spoil(lines, maker.dice)
    text = "\n".join(lines) + "\n"
    raw = text.encode().replace(b"\\xff", b"\xff")
    line = 1 if code == "too-large" else line
    return Made(text, maker.secrets, 0, line, code, raw)


def _find(lines: list[str], key: str) -> int:
    return next(i for i, line in enumerate(lines) if line.strip(" -\"'").startswith(key))


def _replace(key: str, text: str, code: str) -> Spoil:
    """Return what replaces the value of a key of the first worker."""

    def spoil(lines: list[str], dice: random.Random) -> tuple[int, str]:
        del dice
        number = _first_worker(lines, key)
        head = lines[number].partition(":")[0]
        lines[number] = f"{head}: {text}"
        return number + 1, code

    return spoil


def _first_worker(lines: list[str], key: str) -> int:
    begin = _find(lines, "workers")
    return begin + 1 + _find(lines[begin + 1 :], key)


def _typo(lines: list[str], dice: random.Random) -> tuple[int, str]:
    key = dice.choice(("token", "working_directory", "concurrency", "tags"))
    number = _first_worker(lines, key)
    lines[number] = lines[number].replace(key, key[:-2] + key[-1], 1)
    return number + 1, "unknown-key"


def _twice(lines: list[str], dice: random.Random) -> tuple[int, str]:
    key = dice.choice(("token", "working_directory", "concurrency", "tags"))
    number = _first_worker(lines, key)
    indent = len(lines[number]) - len(lines[number].lstrip(" -"))
    lines.insert(number + 1, " " * indent + lines[number].lstrip(" -"))
    return number + 2, "duplicate-key"


def _insert(text: str, code: str) -> Spoil:
    """Return what puts a line among the keys of the first worker, after its concurrency."""

    def spoil(lines: list[str], dice: random.Random) -> tuple[int, str]:
        del dice
        number = _first_worker(lines, "concurrency")
        indent = len(lines[number]) - len(lines[number].lstrip(" -"))
        lines.insert(number + 1, " " * indent + text)
        return number + 2, code

    return spoil


def _tab(lines: list[str], dice: random.Random) -> tuple[int, str]:
    del dice
    number = _find(lines, "defaults") + 1
    lines[number] = "\t" + lines[number].lstrip()
    return number + 1, "tab"


def _append(text: str, code: str, line: int = 0) -> Spoil:
    """Return what puts lines at the end; `line` counts from the first of them."""

    def spoil(lines: list[str], dice: random.Random) -> tuple[int, str]:
        del dice
        lines += text.split("\n")
        return len(lines) - text.count("\n") + line, code

    return spoil


SPOILS: Final[tuple[Spoil, ...]] = (
    _typo,
    _twice,
    _tab,
    _replace("concurrency", "0", "value"),
    _replace("concurrency", '"2"', "value"),
    _replace("concurrency", "1025", "value"),
    _replace("concurrency", "two", "value"),
    _replace("concurrency", "[2]", "value"),
    _replace("concurrency", "1_000", "value"),
    _replace("tags", "node", "value"),
    _replace("tags", "[x, x]", "value"),
    _replace("tags", "[two words]", "value"),
    _replace("tags", "[x, 1]", "value"),
    _replace("tags", "[x", "bracket"),
    _replace("tags", "x]: }", "syntax"),
    _replace("tags", "@x", "syntax"),
    _replace("tags", "*nobody", "alias"),
    _replace("tags", "!!python/object/apply:os.system [id]", "tag"),
    _replace("name", "Two Words", "value"),
    _replace("name", "no", "ok"),
    _replace("name", "12", "value"),
    _replace("working_directory", "gone/away", "directory"),
    _replace("working_directory", "~nobody_of_that_name/x", "path"),
    _replace("working_directory", "${env:HOME}", "path"),
    _replace("token", "machine_x:worker_y:secret_z", "token"),
    _replace("token", "changeme", "token"),
    _replace("token", "${file:tokens/none}", "reference"),
    _replace("token", "${env:NONE}", "reference"),
    _replace("token", "${cmd:false}", "reference"),
    _replace("token", "${what:x}", "reference"),
    _replace("token", "${file:tokens/9001", "reference"),
    _insert("server_url: ftp://x", "server"),
    _insert("server_url: http://control.example.com", "insecure"),
    _insert("limits: {timeout: 5}", "value"),
    _insert("limits: {timeout: 31d}", "value"),
    _insert("limits: {memory: 2G}", "value"),
    _insert("limits: {nice: -1}", "value"),
    _insert("limits: {cpu: 1}", "unknown-key"),
    _insert("paused: yes", "value"),
    _insert("env_file: none.env", "env-file"),
    _insert("bad\\xffbyte: 1", "not-utf-8"),
    _insert("bad: \x07", "invisible"),
    _insert("bad: \u2028", "invisible"),
    _insert("no colon here", "syntax"),
    _insert("a: b: c", "syntax"),
    _insert('"never closed: 1', ""),
    _insert("<<: 1", "merge"),
    _append("---\nversion: 1", "documents"),
    _append("what: &a [*a]", "alias"),
    _append("deep: " + "[" * 5_000, "too-deep"),
    _append("deep: " + "{a: " * 30 + "1" + "}" * 30, "too-deep"),
    _append("x: &a [1,1,1,1,1,1,1,1,1,1]\n" + "\n".join(
        f"x{n}: &{chr(97 + n)} [{','.join([f'*{chr(96 + n)}'] * 10)}]" for n in range(1, 9)
    ), "too-many", 4),
    _append("big: [" + "1," * 150_000 + "1]", "too-many"),
    _append("big: " + "x" * 2**20, "too-large", 0),
)  # fmt: skip


def fuzzed(seed: int, folder: ConfigFolder) -> Made:
    """Return a file to which something was done at random; it may still be a valid one."""
    maker = Maker(seed, folder)
    made = valid(seed, folder)
    raw = bytearray(made.content)
    for _ in range(maker.dice.randint(1, 4)):
        at = maker.dice.randrange(len(raw))
        match maker.dice.randrange(6):
            case 0:
                del raw[at]
            case 1:
                raw.insert(at, maker.dice.choice(b"\t\n:-{}[]\"'#&*!|>%@`, \x00\xff"))
            case 2:
                raw[at] = maker.dice.randrange(256)
            case 3:
                end = raw.find(b"\n", at)
                del raw[at : end if end > 0 else None]
            case 4:
                raw = raw[:at]
            case _:
                begin = raw.rfind(b"\n", 0, at) + 1
                raw[at:at] = raw[begin:at]
        raw = raw or bytearray(b" ")
    return Made("", made.secrets | maker.secrets, 0, raw=bytes(raw))
