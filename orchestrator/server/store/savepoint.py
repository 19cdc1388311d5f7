"""A part of an operation that can be taken back alone, with all that was announced in it."""

import contextlib
from collections.abc import Iterator

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.server.store.interface import Transaction


@contextlib.contextmanager
def savepoint(tx: Transaction) -> Iterator[None]:
    """Take back what is done within if it is refused; what the operation did before stays.

    An error of the database passes as it is: who knows whether there still is a transaction.
    """
    told = len(tx.facts)
    tx.execute("SAVEPOINT part")
    try:
        yield
    except OrchestratorError:
        tx.execute("ROLLBACK TO SAVEPOINT part")
        tx.execute("RELEASE SAVEPOINT part")
        del tx.facts[told:]
        raise
    tx.execute("RELEASE SAVEPOINT part")
