"""One table of exit codes for all programs."""

from orchestrator.cli import EXIT_CODES, INTERRUPTED, UNEXPECTED
from orchestrator.commands.jobs.patience import Left
from orchestrator.kernel import errors
from orchestrator.kernel.errors import OrchestratorError


def _all_below(kind: type[OrchestratorError]) -> set[type[OrchestratorError]]:
    below = {kind}
    for child in kind.__subclasses__():
        below |= _all_below(child)
    return below


def test_every_error_ends_with_a_code_of_the_table() -> None:
    """No error of ours leads to a number that nobody can look up."""
    ours = {kind for kind in _all_below(OrchestratorError) if kind.__module__ == errors.__name__}

    assert {kind.exit_code for kind in ours} <= set(EXIT_CODES)
    assert Left.exit_code == INTERRUPTED in EXIT_CODES
    assert UNEXPECTED in EXIT_CODES


def test_the_codes_that_scripts_rely_on() -> None:
    """These numbers are a contract and never change."""
    contract: dict[type[OrchestratorError], int] = {
        errors.RequestInvalid: 2,
        errors.NotFound: 1,
        errors.ServerUnreachable: 69,
        errors.Unavailable: 75,
        errors.Unauthenticated: 77,
        errors.Forbidden: 77,
        errors.ConfigInvalid: 78,
        errors.PeerBroken: 70,
        errors.InvariantViolated: 70,
    }

    assert {kind: kind.exit_code for kind in contract} == contract
