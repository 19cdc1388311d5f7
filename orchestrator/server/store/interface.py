"""What the server asks of a database, and what every database must keep.

It knows no job. An operation is a plain function of a `Transaction`, a query one of a `Reader`.
Both are synchronous, run off the event loop, and write portable SQL with `:name` parameters.

What is promised, each point with a test in `tests/integration/store/`:

* `write` answers only after the operation's transaction is on the disk.
* An operation that raises one of our own errors, or breaks a constraint, leaves nothing behind, and
  its neighbours in the same commit do not notice.
* Any other error undoes the whole group, and everybody in it is told. Whoever was not to blame gets
  `StoreBusy`: nothing was done, ask again.
* A commit that fails for any reason but a full disk ends the process. After a failed sync nobody
  knows what is on the disk, so nothing more may be said by this process.
* Facts are heard on the event loop, after their commit, in the order of the commits.
* A query sees one committed state, never half of a transaction, and does not hold up writers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from orchestrator.server.facts import Fact

T = TypeVar("T")

Value = str | int | float | bytes | None
"""What a parameter may be, on every database."""


class Row(Protocol):
    """One row: its values by the names of its columns, and in no other way."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401  # the columns' types are SQL's
        """Return the value of a column."""
        ...


class Reader(Protocol):
    """One committed state of the database."""

    now_us: int
    """The moment of the look, in microseconds since the epoch."""

    def rows(self, sql: str, **params: Value) -> list[Row]:
        """Return every row that a statement gives."""
        ...

    def row(self, sql: str, **params: Value) -> Row | None:
        """Return the first row, or `None`."""
        ...

    def tuples(self, sql: str, **params: Value) -> list[tuple[Any, ...]]:
        """Return every row as a plain tuple: for hot paths, where names would cost the most."""
        ...


class Transaction(Reader, Protocol):
    """An operation's view: it reads what it has written, and others see all of it or nothing."""

    facts: list[Fact]
    """What was announced so far."""

    def execute(self, sql: str, **params: Value) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    def many(self, sql: str, params: Iterable[Mapping[str, Value]]) -> int:
        """Run a statement once for each set of parameters; return how many rows all changed."""
        ...

    def announce(self, fact: Fact) -> None:
        """Let subscribers know once this is committed; never, if it is not."""
        ...


Operation = Callable[[Transaction], T]
Query = Callable[[Reader], T]
Subscriber = Callable[[Sequence[Fact]], None]


class Store(Protocol):
    """A database, from the event loop's side."""

    async def write(self, operation: Operation[T]) -> T:
        """Run an operation and return its result once it is durable.

        Cancelling the wait does not undo it: it may still be committed.
        """
        ...

    async def read(self, query: Query[T]) -> T:
        """Run a query on one committed state and return its result."""
        ...

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Give the facts of each commit to `subscriber`, on the loop; return what ends that."""
        ...

    async def aclose(self) -> None:
        """Finish what was asked, then let go of the database."""
        ...
