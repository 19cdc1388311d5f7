"""One line for the log when something begins to fail, and not one for each time that it does."""

from orchestrator.kernel.errors import OrchestratorError


class Delay:
    """What a service that tries again and again has met."""

    def __init__(self) -> None:
        self._met: str | None = None

    def begins(self, error: OrchestratorError) -> bool:
        """Note a failure; tell whether it is news."""
        is_news = error.problem_code != self._met
        self._met = error.problem_code
        return is_news

    def ends(self) -> bool:
        """Note that it works; tell whether it did not before."""
        was_met = self._met is not None
        self._met = None
        return was_met
