"""The command line's front door: which commands there are, and what each end is called.

It does no work. It is the outermost layer of every program here, so it is the one place where any
error ends as a sentence and an exit code, and where the environment is taken from the process.
"""

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import click

from orchestrator import __version__
from orchestrator.commands import output
from orchestrator.commands.lazy import LazyGroup
from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.errors import OrchestratorError, RequestInvalid, Unauthenticated
from orchestrator.kernel.notify import Notifier

EXIT_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "done",
        1: "unexpected, or the other side said no",
        2: "usage",
        3: "degraded",
        4: "not running",
        5: "already running",
        6: "drain timed out",
        7: "refused, jobs running",
        8: "no job came in time, or the one that was asked for cannot come",
        69: "server unreachable",
        70: "internal fault",
        73: "cannot create state",
        75: "try again",
        77: "tokens refused",
        78: "configuration",
        130: "left at once (Ctrl-C)",
        141: "whoever read the output went away",
        143: "left at once (SIGTERM)",
    }
)
"""For all programs. `jobs submit --follow` and `jobs logs -f` return the job's own code instead:
128+n for a signal, 124 for a timeout, 130 for a cancel, 1 for any other failure."""
UNEXPECTED: Final = 70
INTERRUPTED: Final = 130
READER_GONE: Final = 128 + 13
"""What a shell shows for a program that wrote into a closed pipe."""
_COMMANDS: Final = "orchestrator.commands"
_MACHINE: Final = f"{_COMMANDS}.machine"
_EXAMPLES: Final = """\b
orchestrator run --local                          start everything on this machine
orchestrator jobs submit --follow -- make test    run something there and watch it
"""


class _Root(LazyGroup):
    """The outermost group."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; click would call a reader who went away an error like any other."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            output.give_up_stdout()
            raise click.exceptions.Exit(READER_GONE) from None


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLES,
)
@click.version_option(__version__, prog_name="orchestrator", message="%(prog)s %(version)s")
def root() -> None:
    """One pool of workers out of any set of machines."""


root.members = {
    "run": f"{_COMMANDS}.run:run",
    "add": f"{_COMMANDS}.edit:add",
    "remove": f"{_COMMANDS}.edit:remove",
    "set": f"{_COMMANDS}.edit:put",
    "unset": f"{_COMMANDS}.edit:unset",
    "token": f"{_COMMANDS}.token:token",
    "plan": f"{_COMMANDS}.plan:plan",
    "init": f"{_COMMANDS}.init:init",
    "check": f"{_COMMANDS}.check:check",
    "entry": f"{_COMMANDS}.entry:entry",
    "schema": f"{_COMMANDS}.schema:schema",
    "status": f"{_MACHINE}.status:status",
    "why": f"{_MACHINE}.why:why",
    "top": f"{_MACHINE}.top.command:top",
    "logs": f"{_MACHINE}.logs:logs",
    "events": f"{_MACHINE}.events:events",
    "reload": f"{_MACHINE}.reload:reload",
    "pause": f"{_MACHINE}.holds:pause",
    "resume": f"{_MACHINE}.holds:resume",
    "drain": f"{_MACHINE}.holds:drain",
    "stop": f"{_MACHINE}.holds:stop",
    "restart": f"{_MACHINE}.holds:restart",
    "dump": f"{_MACHINE}.events:dump",
    "doctor": f"{_MACHINE}.doctor:doctor",
    "bug-report": f"{_MACHINE}.bug_report:bug_report",
    "service": f"{_COMMANDS}.service:service",
    "upgrade": f"{_MACHINE}.upgrade:upgrade",
    "jobs": f"{_COMMANDS}.jobs:jobs",
    "queues": f"{_COMMANDS}.queues:queues",
    "schedules": f"{_COMMANDS}.schedules:schedules",
    "batches": f"{_COMMANDS}.batches:batches",
    "workers": f"{_COMMANDS}.workers:workers",
    "server": f"{_COMMANDS}.server:server",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code, whatever happens."""
    output.set_up()
    notifier = Notifier.taken_from(os.environ, os.getpid())
    surroundings = Surroundings(os.environ, notifier)
    try:
        code = root.main(arguments, prog_name=output.NAME, standalone_mode=False, obj=surroundings)
        output.flush()
    except click.ClickException as error:
        return _usage(error)
    except (click.Abort, KeyboardInterrupt):
        output.say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        output.give_up_stdout()
        return READER_GONE
    except OrchestratorError as error:
        return _trouble(error, surroundings)
    except Exception as error:  # noqa: BLE001 - the edge: every error ends as a sentence
        return _fault(error)
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        output.manual(error.format_message())
        return error.exit_code
    output.say(error.format_message())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        output.advise(f"{context.command_path} --help tells what is possible")
    return error.exit_code


def _trouble(error: OrchestratorError, surroundings: Surroundings) -> int:
    fields = error.fields if isinstance(error, RequestInvalid) else ()
    # The server's hint speaks of headers, which nobody typed.
    hint = surroundings.about_the_key() if isinstance(error, Unauthenticated) else error.hint
    output.trouble(error.message, hint, fields)
    return error.exit_code


def _fault(error: Exception) -> int:
    import traceback

    output.fault("".join(traceback.format_exception(error)))
    output.say(f"internal fault: {type(error).__name__}: {error}")
    output.advise(
        "this is a fault of the program, not of yours: please report it with the lines above"
    )
    return UNEXPECTED
