"""A service as a systemd unit.

The two roles need opposite units. A server runs no foreign code, so everything that it does not
need is taken from it. A supervisor runs whatever people submit, and every restriction is inherited
by every job; so it has those that no honest job notices. docs/adr/0019-jobs-outlive-their-unit.md
says which ones are left out and why.
"""

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.delegation import SUBGROUP
from orchestrator.supervisor.service.wanted import Reach, Role, ServiceWanted, check_text

MARK: Final = "# Written by `orchestrator service install`"
NOTIFY_RELOAD: Final = 253
"""The version of systemd that knows `Type=notify-reload`."""
STEPS: Final = 254
"""The one that knows pauses which grow, and a place of its own for a main process."""
Lines = Iterable[tuple[str, str]]

_DESCRIPTIONS: Final = MappingProxyType(
    {
        Role.ORCHESTRATOR: "Orchestrator: the workers of this machine",
        Role.SERVER: "Orchestrator: the control server",
    }
)
_FOR_JOBS: Final[Lines] = (
    ("CapabilityBoundingSet", ""),
    ("ProtectSystem", "full"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectHostname", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("SystemCallArchitectures", "native"),
    ("KeyringMode", "private"),
)
_FOR_A_SERVER: Final[Lines] = (
    ("CapabilityBoundingSet", ""),
    ("ProtectSystem", "strict"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectProc", "invisible"),
    ("ProcSubset", "pid"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RemoveIPC", "yes"),
    ("KeyringMode", "private"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    ("SystemCallErrorNumber", "EPERM"),
)


def render(wanted: ServiceWanted, version: int) -> str:
    """Return the unit file for a systemd of that version."""
    server = wanted.role is Role.SERVER
    sections = {
        "Unit": [
            ("Description", _DESCRIPTIONS[wanted.role]),
            # The bus, because a plain user asks over it why a stop is wanted, also at a shutdown.
            ("After", "network.target" if server else "network.target dbus.service"),
            ("StartLimitIntervalSec", "0"),
        ],
        "Service": [
            *_life(wanted, version),
            *_files(wanted),
            *_rights(wanted, _FOR_A_SERVER if server else _FOR_JOBS),
        ],
        "Install": [
            (
                "WantedBy",
                "multi-user.target" if wanted.reach is Reach.SYSTEM else "default.target",
            )
        ],
    }
    edit = "systemctl edit" if wanted.reach is Reach.SYSTEM else "systemctl --user edit"
    text = [f"{MARK}. Changes belong in a drop-in: {edit} {wanted.name}"]
    for title, lines in sections.items():
        text += ["", f"[{title}]", *(f"{key}={value}" for key, value in lines)]
    return "\n".join(text) + "\n"


def _life(wanted: ServiceWanted, version: int) -> Iterator[tuple[str, str]]:
    """Yield how it starts, ends, and is started again."""
    server = wanted.role is Role.SERVER
    reloads = not server
    yield "Type", "notify-reload" if reloads and version >= NOTIFY_RELOAD else "notify"
    if wanted.account is not None:
        yield "User", check_text(wanted.account, "the account")
    yield "ExecStart", " ".join(_word(word) for word in wanted.command)
    if reloads and version < NOTIFY_RELOAD:
        yield "ExecReload", "/bin/kill -HUP $MAINPID"
    for name, value in sorted(wanted.environment.items()):
        yield "Environment", _assignment(name, value)
    yield "Restart", "always"
    yield "RestartSec", "1"
    if version >= STEPS:
        yield "RestartSteps", "6"
        yield "RestartMaxDelaySec", "60"
    yield "RestartPreventExitStatus", "5 77 78"
    if not server:
        yield "SuccessExitStatus", "6 143"
    yield "WatchdogSec", "30" if server else "60"
    yield "TimeoutAbortSec", "10"
    yield "TimeoutStartSec", "120"
    yield "TimeoutStopSec", "30" if server else str(wanted.stop_timeout_s)
    yield "KillMode", "mixed" if server else "process"
    if not server:
        yield "OOMPolicy", "continue"
        yield "Delegate", "cpu memory pids"
        if version >= STEPS:
            yield "DelegateSubgroup", SUBGROUP


def _files(wanted: ServiceWanted) -> Iterator[tuple[str, str]]:
    """Yield what it may open, and how."""
    if wanted.role is Role.SERVER and wanted.reach is Reach.SYSTEM:
        yield "StateDirectory", wanted.name
        yield "StateDirectoryMode", "0700"
    for name, path in wanted.credentials:
        yield "LoadCredential", f"{name}:{_word(str(path))}"
    yield "UMask", "0077"
    yield "LimitNOFILE", "65536"
    yield "LimitCORE", "0"


def _rights(wanted: ServiceWanted, hardening: Lines) -> Iterator[tuple[str, str]]:
    """Yield what is taken from it. A user's own manager can take no more than new privileges."""
    if wanted.reach is Reach.SYSTEM:
        yield "OOMScoreAdjust", "-500"
    if wanted.account == "root":
        return  # somebody wants jobs that may do everything, and said so
    yield "NoNewPrivileges", "yes"
    if wanted.reach is Reach.SYSTEM:
        yield from hardening
        if wanted.role is Role.SERVER:
            yield "ProtectHome", "read-only" if wanted.lives_in_a_home else "yes"


def _word(word: str) -> str:
    """Return one word of a command line."""
    plain = check_text(word, "the command line").replace("%", "%%").replace("$", "$$")
    return _quoted(plain) if set(plain) & set(" \\\"';") or not plain else plain


def _assignment(name: str, value: str) -> str:
    """Return one variable; here a dollar is a dollar."""
    text = f"{name}={value.replace('%', '%%')}"
    return _quoted(text) if set(text) & set(" \\\"'") else text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
