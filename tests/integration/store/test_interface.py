"""What `store/interface.py` promises, on each database."""

import threading
from functools import partial

import anyio
import pytest

from orchestrator.kernel.errors import (
    AlreadyExists,
    InvariantViolated,
    Refused,
    RequestInvalid,
    StoreBusy,
    Unavailable,
    invariant,
)
from orchestrator.server.facts import KeysChanged, OutputGrew
from orchestrator.server.store.interface import Reader, Transaction
from tests.integration.store.world import World

INSERT = "INSERT INTO file (sha256, size, created_us, used_us) VALUES (:name, :size, :now, :now)"


def store_file(tx: Transaction, *, name: str) -> int:
    """Do the smallest thing that leaves a row."""
    tx.announce(OutputGrew(name, 0))
    return tx.execute(INSERT, name=name, size=1, now=tx.now_us)


def names(reader: Reader) -> list[str]:
    """Return which rows are there."""
    return [row["sha256"] for row in reader.rows("SELECT sha256 FROM file ORDER BY sha256")]


class Gate:
    """Holds the writer, so that what is asked meanwhile becomes one group."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def hold(self, _: Transaction) -> None:
        """Wait inside a transaction until the gate is opened."""
        self._reached.set()
        assert self._open.wait(10)

    async def reached(self) -> None:
        """Wait until the writer stands at the gate."""
        await anyio.to_thread.run_sync(self._reached.wait, 10)

    def open(self) -> None:
        """Let it pass."""
        self._open.set()


async def test_what_was_answered_is_there_for_others(world: World) -> None:
    """Once a write is answered, a query sees it, and so does the next server."""
    assert await world.write(partial(store_file, name="a")) == 1

    assert await world.read(names) == ["a"]
    await world.restart()
    assert await world.read(names) == ["a"]


async def test_the_result_is_what_the_operation_returns(world: World) -> None:
    """Whatever an operation or a query returns is handed over as it is."""
    token = object()

    assert await world.write(lambda _: token) is token
    assert await world.read(lambda _: token) is token


async def test_a_refusal_leaves_nothing_behind(world: World) -> None:
    """An operation that raises one of our errors stores nothing and announces nothing."""

    def refuse(tx: Transaction) -> None:
        store_file(tx, name="a")
        raise RequestInvalid("no")

    with pytest.raises(RequestInvalid, match="no"):
        await world.write(refuse)

    assert await world.read(names) == []
    assert world.facts == []


async def test_a_broken_constraint_leaves_nothing_behind(world: World) -> None:
    """An operation that meets a row which is there already stores nothing of its own."""
    await world.write(partial(store_file, name="a"))

    def again(tx: Transaction) -> None:
        store_file(tx, name="b")
        store_file(tx, name="a")

    with pytest.raises(AlreadyExists):
        await world.write(again)

    assert await world.read(names) == ["a"]


async def test_a_broken_rule_is_our_fault_and_hurts_one_operation(world: World) -> None:
    """A reference to nothing is refused by the database itself."""

    def dangling(tx: Transaction) -> int:
        return tx.execute("INSERT INTO job_file (job_id, sha256) VALUES ('no', 'no')")

    with pytest.raises(InvariantViolated):
        await world.write(dangling)


async def test_neighbours_of_a_refusal_do_not_notice(world: World) -> None:
    """In one group, the operations before and after a refused one are stored."""
    gate, answers = Gate(), list[str]()

    async def write(name: str, *, refused: bool) -> None:
        def operation(tx: Transaction) -> None:
            store_file(tx, name=name)
            if refused:
                raise Refused(name)

        try:
            await world.write(operation)
        except Refused:
            answers.append(f"{name} refused")
        else:
            answers.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(world.write, gate.hold)
        await gate.reached()
        for name in ("a", "b", "c"):
            group.start_soon(partial(write, name, refused=name == "b"))
        await anyio.wait_all_tasks_blocked()
        gate.open()

    assert sorted(answers) == ["a", "b refused", "c"]
    assert await world.read(names) == ["a", "c"]
    assert world.facts == [OutputGrew("a", 0), OutputGrew("c", 0)]


@pytest.mark.parametrize("fault", ["invariant", "bug", "sql"])
async def test_an_unknown_error_undoes_the_whole_group(world: World, fault: str) -> None:
    """Who is not to blame is told to ask again, and nothing of the group is stored."""
    gate, answers = Gate(), dict[str, BaseException | None]()

    def fail(tx: Transaction) -> None:
        match fault:
            case "invariant":
                invariant(condition=False, message="broken")
            case "bug":
                raise KeyError("bug")
            case _:
                tx.execute("SELECT * FROM nowhere")

    async def write(name: str) -> None:
        def operation(tx: Transaction) -> None:
            store_file(tx, name=name)
            if name == "b":
                fail(tx)

        answers[name] = None
        try:
            await world.write(operation)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is looked at below
            answers[name] = error

    async with anyio.create_task_group() as group:
        group.start_soon(world.write, gate.hold)
        await gate.reached()
        for name in ("a", "b", "c"):
            group.start_soon(write, name)
        await anyio.wait_all_tasks_blocked()
        gate.open()

    assert isinstance(answers["a"], StoreBusy)
    assert isinstance(answers["c"], StoreBusy)
    assert answers["b"] is not None
    assert not isinstance(answers["b"], StoreBusy)
    assert await world.read(names) == []
    assert world.facts == []
    await world.write(partial(store_file, name="after"))
    assert await world.read(names) == ["after"]


async def test_facts_are_heard_on_the_loop_in_the_order_of_the_commits(world: World) -> None:
    """A subscriber hears every fact once, in order, on the thread of the loop."""
    heard: list[tuple[int, str]] = []

    def hear(facts: object) -> None:
        assert isinstance(facts, list)
        heard.extend((threading.get_ident(), fact.job_id) for fact in facts)

    unsubscribe = world.store.subscribe(hear)
    for index in range(20):
        await world.write(partial(store_file, name=f"{index:02}"))
    unsubscribe()
    await world.write(lambda tx: tx.announce(KeysChanged()))

    assert heard == [(threading.get_ident(), f"{index:02}") for index in range(20)]


async def test_who_was_answered_runs_after_everybody_was_told(world: World) -> None:
    """A writer that goes on finds that subscribers know already."""
    for index in range(5):
        await world.write(partial(store_file, name=str(index)))
        assert world.facts[-1] == OutputGrew(str(index), 0)


async def test_an_operation_sees_what_it_wrote_and_others_do_not(world: World) -> None:
    """Half a transaction is visible to itself alone."""
    gate = Gate()

    def operation(tx: Transaction) -> list[str]:
        store_file(tx, name="a")
        seen = names(tx)
        gate.hold(tx)
        return seen

    async with anyio.create_task_group() as group:
        group.start_soon(world.write, operation)
        await gate.reached()
        assert await world.read(names) == []
        gate.open()

    assert await world.read(names) == ["a"]


async def test_a_query_sees_one_state(world: World) -> None:
    """A query that looks twice sees the same, whatever was committed in between."""
    looked, go_on = threading.Event(), threading.Event()
    seen: list[list[str]] = []

    def query(reader: Reader) -> None:
        seen.append(names(reader))
        looked.set()
        assert go_on.wait(10)
        seen.append(names(reader))

    async with anyio.create_task_group() as group:
        group.start_soon(world.read, query)
        await anyio.to_thread.run_sync(looked.wait, 10)
        await world.write(partial(store_file, name="a"))
        go_on.set()

    assert seen == [[], []]
    assert await world.read(names) == ["a"]


async def test_a_query_cannot_write(world: World) -> None:
    """A query that tries to change something fails, and nothing is changed."""

    def sneak(reader: Reader) -> None:
        reader.rows(INSERT.replace(":now", ":size"), name="a", size=1)

    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await world.read(sneak)

    assert await world.read(names) == []


async def test_rows_have_their_columns_by_name_and_tuples_by_place(world: World) -> None:
    """A row is asked by name; a tuple has the values as they were selected."""
    await world.write(partial(store_file, name="a"))

    def query(reader: Reader) -> tuple[object, object, object]:
        sql = "SELECT size AS bytes, sha256 FROM file WHERE sha256 = :name"
        row = reader.row(sql, name="a")
        assert row is not None
        return (
            (row["bytes"], row["sha256"]),
            reader.tuples(sql, name="a"),
            reader.row(sql, name="b"),
        )

    assert await world.read(query) == ((1, "a"), [(1, "a")], None)


async def test_many_counts_every_row(world: World) -> None:
    """A statement that runs for many sets of parameters says how many rows all of them changed."""
    rows = [{"name": name, "size": 1, "now": 0} for name in ("a", "b", "c")]
    await world.write(lambda tx: tx.many(INSERT, rows))

    sql = "UPDATE file SET size = 2 WHERE sha256 = :name"
    changed = await world.write(
        lambda tx: tx.many(sql, [{"name": name} for name in ("a", "c", "x")])
    )

    assert changed == 2
    assert await world.write(lambda tx: tx.many(sql, [])) == 0


async def test_hostile_text_stays_text(world: World) -> None:
    """Whatever a value looks like, it is bound and comes back unchanged."""
    hostile = "'); DROP TABLE file; -- :name ? $1 %s \U0001f40d"

    await world.write(partial(store_file, name=hostile))

    assert await world.read(names) == [hostile]


async def test_time_is_the_clocks_that_was_handed_in(world: World) -> None:
    """A transaction knows one moment, and it is the clock's."""
    world.clock.seconds = 1234.5

    assert await world.write(lambda tx: tx.now_us) == 1_234_500_000


async def test_a_wait_that_is_given_up_hurts_nobody(world: World) -> None:
    """Cancelling a write neither undoes it nor disturbs the ones after it."""
    gate = Gate()

    async with anyio.create_task_group() as group:
        group.start_soon(world.write, gate.hold)
        await gate.reached()
        with anyio.move_on_after(0):
            await world.write(partial(store_file, name="a"))
        gate.open()

    await world.write(partial(store_file, name="b"))
    assert await world.read(names) == ["a", "b"]


async def test_closing_finishes_what_was_asked_and_refuses_the_rest(world: World) -> None:
    """Who asked before the end is answered; who asks after it is told that it is over."""
    gate, done = Gate(), list[str]()

    async def write(name: str) -> None:
        await world.write(partial(store_file, name=name))
        done.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(world.write, gate.hold)
        await gate.reached()
        for name in ("a", "b"):
            group.start_soon(write, name)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(world.store.aclose)
        gate.open()

    assert done == ["a", "b"]
    with pytest.raises(Unavailable):
        await world.write(partial(store_file, name="c"))
    with pytest.raises(Unavailable):
        await world.read(names)
    world.open()
    assert await world.read(names) == ["a", "b"]
