"""`orchestrator service install`: write a service's file, start it, wait until it is ready."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.options import Address
from orchestrator.commands.service.pieces import (
    Which,
    manager_of,
    name_of,
    own_program,
    reach_of,
    which,
)
from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.errors import ConfigInvalid, RequestInvalid, Unavailable

if TYPE_CHECKING:
    from orchestrator.supervisor.service.wanted import Reach, ServiceWanted

HIDDEN: Final = (("home",), ("root",))
"""The folders below / that `ProtectHome=` of a unit hides (systemd.exec(5)): what lives in one of
them could not be started."""
CHECK_S: Final = 120.0
"""A `${cmd:…}` may take ten seconds, and there may be some."""


class _Options(Which):
    """What click hands over, by the names of the parameters."""

    config: Path | None
    listen: tuple[str, int]
    run_as: str | None
    credentials: tuple[tuple[str, Path], ...]
    linger: bool
    start_now: bool
    only_print: bool


class _Credential(click.ParamType[tuple[str, Path]]):
    """`NAME:FILE`."""

    name = "name:file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """Return the name and the file."""
        name, _, path = str(value).partition(":")
        if not name.replace("-", "_").isidentifier() or not path.startswith("/"):
            self.fail(f"{value!r} is no credential; write NAME:/whole/path/of/a/file", param, ctx)
        return name, Path(path)


@click.command()
@which
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The configuration (by default where `orchestrator run` looks for it).",
)
@click.option(
    "--listen",
    type=Address(),
    default="127.0.0.1:8700",
    show_default=True,
    metavar="HOST:PORT",
    help="With --server: where it is reached.",
)
@click.option(
    "--run-as",
    metavar="USER",
    help="With --system: who runs it and all its jobs (by default whoever called sudo).",
)
@click.option(
    "--credential",
    "credentials",
    type=_Credential(),
    multiple=True,
    metavar="NAME:FILE",
    help="What ${cred:NAME} in the configuration means; systemd reads the file.",
)
@click.option("--linger", is_flag=True, help="With --user: run while nobody is logged in, too.")
@click.option("--start/--no-start", "start_now", default=True, help="Start it now, or later.")
@click.option("--print", "only_print", is_flag=True, help="Only show the file; change nothing.")
@click.pass_obj
def install(surroundings: Surroundings, **options: Unpack[_Options]) -> int:
    """Make a service of it: started with the machine, watched, and started again."""
    from orchestrator.supervisor.service.systemd import Systemd

    reach = reach_of(options["reach"])
    manager = manager_of(reach, surroundings.environ)
    wanted = _wanted(options, reach, surroundings.environ)
    if options["only_print"]:
        output.data(manager.text(wanted).decode().rstrip("\n"))
        return 0
    path = manager.install(wanted)
    output.say(f"written: {path}")
    if options["start_now"]:
        runs = manager.state(wanted.name).is_running
        (manager.restart if runs else manager.start)(wanted.name, output.say)
        output.say(f"{wanted.name} runs: {manager.state(wanted.name).status or 'ready'}")
    _explain(wanted)
    if isinstance(manager, Systemd) and options["linger"]:
        manager.linger()
    elif isinstance(manager, Systemd) and reach.value == "user" and not manager.lingers:
        output.advise(
            "it runs while you are logged in; install it with --linger to let it run always"
        )
    return 0


def _explain(wanted: "ServiceWanted") -> None:
    if wanted.role.value == "orchestrator":
        output.advise(
            "jobs run on when it is restarted, upgraded or killed; when it is stopped they may "
            f"finish within {wanted.drain_timeout_s:g} s",
        )
    server = " --server" if wanted.role.value == "server" else ""
    output.advise(f"orchestrator service status{server}; orchestrator service logs -f{server}")


def _wanted(options: _Options, reach: "Reach", environ: Mapping[str, str]) -> "ServiceWanted":
    from orchestrator.supervisor.service.wanted import Role, ServiceWanted, kept_environment

    server = options["server"]
    account = _account(options["run_as"], reach, environ)
    program = own_program()
    name = name_of(options["name"], server=server)
    if server:
        if options["config"] is not None or options["credentials"]:
            raise click.UsageError("a server has no --config and no --credential")
        arguments, drain_timeout_s = _server(options["listen"], name, reach), 0.0
    else:
        config = _configuration(options["config"], account, environ)
        drain_timeout_s = _checked(program, config, account, environ)
        arguments = ["run", f"--config={config}"]
    return ServiceWanted(
        name=name,
        reach=reach,
        role=Role.SERVER if server else Role.ORCHESTRATOR,
        command=(*program, *arguments),
        account=account,
        environment=kept_environment(environ, reach, account),
        credentials=options["credentials"],
        lives_in_a_home=_lives_in_a_home(program[0]),
        drain_timeout_s=drain_timeout_s,
    )


def _lives_in_a_home(program: str) -> bool:
    used = (program, sys.executable, os.path.realpath(sys.executable))
    return any(Path(path).parts[1:2] in HIDDEN for path in used)


def _server(listen: tuple[str, int], name: str, reach: "Reach") -> list[str]:
    from orchestrator.kernel.listening import authority

    where = [f"--data-dir=/var/lib/{name}"] if reach.value == "system" else []
    return ["server", "run", f"--listen={authority(*listen)}", *where]


def _account(told: str | None, reach: "Reach", environ: Mapping[str, str]) -> str | None:
    """Return who runs a service of the machine: never root unless somebody says so."""
    import pwd

    if reach.value == "user":
        if told is not None:
            raise click.UsageError(
                "a service of this user runs as this user: --run-as is for --system"
            )
        return None
    account = told or environ.get("SUDO_USER")
    if account is None:
        raise RequestInvalid(
            "say --run-as USER: whoever submits a job could do everything that this user may",
            hint="a user of its own is best: useradd --system --create-home "
            "--home-dir /var/lib/orchestrator orchestrator",
        )
    try:
        pwd.getpwnam(account)
    except KeyError:
        raise ConfigInvalid(
            f"there is no user {account!r} on this machine",
            hint=f"useradd --system --create-home --home-dir /var/lib/{account} {account}",
        ) from None
    return account


def _configuration(told: Path | None, account: str | None, environ: Mapping[str, str]) -> Path:
    from orchestrator.supervisor.config.location import locate

    path = locate(told, environ)
    if not path.is_file():
        whose = f", as {account}" if account else ""
        raise ConfigInvalid(
            f"there is no configuration {path}",
            hint=f"write one first{whose}: orchestrator init; or name another with --config",
        )
    return path


def _checked(
    program: tuple[str, ...], config: Path, account: str | None, environ: Mapping[str, str]
) -> float:
    """Return how long the configuration lets jobs drain; refuse one that cannot be run.

    A program of its own looks at it, as whoever will run it: only so is it known whether they can
    read it, and a `${cmd:…}` in somebody's file must never run as root.
    """
    import pwd

    entry = None if account is None else pwd.getpwnam(account)
    other = entry is not None and entry.pw_uid != os.geteuid()
    env = dict(environ)
    if entry is not None and other:
        env = {"PATH": environ.get("PATH", ""), "HOME": entry.pw_dir, "LOGNAME": entry.pw_name}
    try:
        done = subprocess.run(
            [*program, "check", "--json", str(config)],
            cwd="/",
            env=env,
            user=entry.pw_uid if entry is not None and other else None,
            group=entry.pw_gid if entry is not None and other else None,
            extra_groups=[] if other else None,
            capture_output=True,
            timeout=CHECK_S,
            check=False,
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        who = account or "this user"
        raise Unavailable(
            f"{who} cannot check {config} with {program[0]}: {error}",
            hint="can this user run the program, and read the file?",
        ) from error
    problems = [problem for problem in found["problems"] if problem["level"] == "error"]
    for problem in problems:
        place = f"{problem['file']}:{problem['line']}:{problem['column']}"
        output.trouble(f"{place}: {problem['message']}", problem["hint"])
    if found["drain_timeout_s"] is None:
        raise ConfigInvalid(f"{config} cannot be run as it is", hint="mend it, then try again")
    return float(found["drain_timeout_s"])
