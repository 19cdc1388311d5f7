"""The spool: the folder in which a worker and its shims keep what they must not forget.

It knows segments, and which attempts in them are settled; it knows no server and no job. One worker
process uses it at a time. Three duties are done behind, by `keep`: what is not acknowledged soon is
synced, what is settled is noted, and what nobody needs is removed.
"""

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import Lock, private_dir, sync_dir, write_private
from orchestrator.protocol.frames import EMPTY_DIGEST
from worker.records import Log
from worker.shim import layout
from worker.spool import search
from worker.spool.attempt_log import AttemptLog
from worker.spool.identity import identify
from worker.spool.ledger import Ledger
from worker.spool.segment import BUFFER_BYTES, Key, Piece, Segment
from worker.spool.shims import FoundShim, NoShim, Shim
from worker.spool.tail import Place

_TICK_S: Final = 0.1
EXIT_SYNC_S: Final = 0.1
"""An exit that is not acknowledged by then is synced at the next tick: at most 200 ms after it."""
OUTPUT_SYNC_S: Final = 0.9
"""With the tick, a second."""
ASIDE: Final = "refused"
"""The folder of what the server did not understand, for people to look at and to remove."""
ASIDE_MAX: Final = 16
"""Segments of eight megabytes: enough to find a fault, and no disk is filled by it."""
_BLOCK_BYTES: Final = 512
"""As `stat` counts them on every disk."""

_Found = tuple[Piece, Segment, int | None]


class Spool:
    """A worker's spool, locked as long as it is open."""

    def __init__(self, directory: Path) -> None:
        self.directory = private_dir(directory)
        self._lock = Lock(self.directory / "lock").take("a worker with this spool")
        try:
            self.identity = identify(self.directory)
            self._ledger = Ledger(self.directory / "ledger")
        except StateUnavailable:
            self._lock.release()
            raise
        except OSError as error:
            self._lock.release()
            raise StateUnavailable(
                f"cannot open the ledger of the spool {self.directory}: {error.strerror}",
                hint="make room on its disk, and see that it is a file of this user's",
            ) from error
        self._segments: dict[str, Segment] = {}
        self._due: dict[tuple[Key, str], float] = {}
        """When what an attempt has in a segment is to be synced."""
        self._changed: set[Segment] = set()
        """Segments that the ledger or their removal has to catch up with."""
        self._dropped: list[tuple[Key, Segment]] = []
        """Parts of output that may go once the ledger's word about them is on the disk."""
        self._work = anyio.Event()

    def count_opening(self, now_ms: int) -> int:
        """Return a number that is higher than in every earlier process with this spool.

        The clock is asked as well, for a spool that was restored from an old copy: in milliseconds,
        because no process lives shorter than that.
        """
        path = self.directory / "openings"
        with contextlib.suppress(FileNotFoundError, ValueError):
            now_ms = max(now_ms, int(path.read_text(encoding="ascii")) + 1)
        write_private(path, str(now_ms))
        return now_ms

    @functools.cached_property
    def _buffer(self) -> bytearray:
        """What all segments are read into; who never has one needs no megabyte for it."""
        return bytearray(BUFFER_BYTES)

    def find(self, name: str) -> Segment | None:
        """Return a segment by its name, if there is one."""
        if name not in self._segments:
            try:
                self._segments[name] = Segment(self.directory / name, self._buffer)
            except FileNotFoundError:
                return None
        return self._segments[name]

    async def reattach(self) -> list[AttemptLog]:
        """Return the log of every attempt that is not settled: running, ended, or cut off.

        Once, before anything new is started: it waits until nothing that an earlier worker process
        has granted can still begin unseen.
        """
        found: dict[Key, list[_Found]] = {}
        names = sorted(path.name for path in self.directory.glob(f"{layout.PREFIX}*"))
        for name in names:
            if (segment := self.find(name)) is None:
                continue
            floor, settled = self._ledger.settled(name)
            pidfd, survey = await search.examine(segment, floor)
            segment.rest()
            if survey.successor is not None and survey.successor not in names:
                names.append(survey.successor)  # it was made after the folder was listed
            for piece in survey.pieces:
                if piece.key in settled:
                    _pass_over(piece, segment)
                    continue
                at_work = pidfd if piece is survey.pieces[-1] else None
                found.setdefault(piece.key, []).append((piece, segment, at_work))
            if pidfd is not None and survey.pieces[-1].key in settled:
                os.close(pidfd)
        search.remove_unfinished(self.directory)
        reached("spool.reattached")
        self._leave_to_the_original(found)
        self._ledger.keep(self._segments.keys(), found.keys())
        logs = [self._reattached(key, pieces) for key, pieces in found.items()]
        # Only now does each segment hold what is in it: before, it would count as needed by nobody.
        for segment in self._segments.values():
            self._retire(segment)
        return logs

    def _leave_to_the_original(self, found: dict[Key, list[_Found]]) -> None:
        """Forget what came with a copy and is not over: it may run on where it was copied from.

        What is over is true wherever it is read.
        """
        foreign = set(self.identity.foreign)
        for key, pieces in list(found.items()):
            begun_here = any(segment.name not in foreign for _, segment, _ in pieces)
            if not begun_here and all(piece.end is None for piece, _, _ in pieces):
                for piece, segment, _ in found.pop(key):
                    _pass_over(piece, segment)

    def _reattached(self, key: Key, found: list[_Found]) -> AttemptLog:
        found.sort(key=lambda item: (item[0].offset, layout.number(item[1].name)))
        # Only what was already removed is missing before the first part: the ledger has its digest,
        # unless a disk has lost what it had said was synced.
        removed = self._ledger.removed(key)
        if any(piece.offset >= removed.length for piece, _, _ in found):
            while found[0][0].offset < removed.length:
                _pass_over(*found.pop(0)[:2])
        first, (last, _, pidfd) = found[0][0], found[-1]
        begin = Log(first.offset, None if first.offset else EMPTY_DIGEST)
        if removed.length == first.offset:
            begin = removed
        places = [
            Place(segment, piece.start, Log(piece.offset, None), reached=False)
            for piece, segment, _ in found[1:]
        ]
        places.insert(0, Place(found[0][1], first.start, begin))
        shim: Shim = NoShim()
        if last.end is None and pidfd is not None:
            shim = FoundShim(pidfd, last.grace_s, last.over_by)
        log = AttemptLog(key, self, shim, places, last.phase)
        log.end = last.end
        return log

    def wrote(self, log: AttemptLog, segment: Segment) -> None:
        """Hear of new output: it is synced within a second."""
        self._sync_by(log, segment, time.monotonic() + OUTPUT_SYNC_S)

    def ended(self, log: AttemptLog, segment: Segment) -> None:
        """Hear of an exit record: it is synced soon, unless the attempt is settled before.

        With it goes all the output that it counts, in whatever segments that is.
        """
        at = time.monotonic() + EXIT_SYNC_S
        self._sync_by(log, segment, at)
        for due in self._due:
            if due[0] == log.key:
                self._due[due] = min(at, self._due[due])

    def _sync_by(self, log: AttemptLog, segment: Segment, at: float) -> None:
        due = (log.key, segment.name)
        self._due[due] = min(at, self._due.get(due, at))
        self._work.set()

    def drop(self, log: AttemptLog, place: Place) -> None:
        """Remember that this part of the output is not needed any more."""
        self._ledger.remove(log.key, log.places[0].log)
        self._dropped.append((log.key, place.segment))
        self._work.set()

    def settle(self, log: AttemptLog) -> None:
        """Remember that nothing of the attempt is needed any more."""
        if log.kept:
            self._put_aside(log)
        for place in log.places:
            end = log.end if place is log.places[-1] else None
            place.segment.settle(log.key, end)
            self._due.pop((log.key, place.segment.name), None)
            self._retire(place.segment)
        self._ledger.forget_attempt(log.key)

    def _put_aside(self, log: AttemptLog) -> None:
        """Give the segments of an attempt a second name, under which they outlive it."""
        # No room: then it goes as any other, and the log has said why it would have stayed.
        with contextlib.suppress(OSError, StateUnavailable):
            folder = private_dir(self.directory / ASIDE)
            for place in log.places:
                if len(list(folder.iterdir())) < ASIDE_MAX:
                    name = f"{log.job_id}-{log.attempt}-{place.segment.name}"
                    (folder / name).hardlink_to(place.segment.path)

    def clear_aside(self) -> int:
        """Remove what only people might want to look at; return how many bytes that were."""
        freed = 0
        with contextlib.suppress(OSError):
            for path in (self.directory / ASIDE).iterdir():
                freed += path.stat().st_blocks * _BLOCK_BYTES
                path.unlink()
        return freed

    def retire(self, segment: Segment) -> None:
        """Hear that a segment's shim has gone."""
        segment.closed = True
        self._retire(segment)

    def _retire(self, segment: Segment) -> None:
        self._changed.add(segment)
        self._work.set()

    async def keep(self) -> None:
        """Do the spool's duties for ever. Raises `StateUnavailable` when the disk is broken."""
        while True:
            await self._work.wait()
            await anyio.sleep(_TICK_S)
            await self._sync_due()
            await self._let_go_of_output()
            self._tidy()
            if not (self._due or self._changed or self._dropped):
                self._work = anyio.Event()

    async def _sync_due(self) -> None:
        now = time.monotonic()
        names = {name for (_, name), at in self._due.items() if at <= now}
        if names:
            # Before the sync: what is written during it is due again.
            self._due = {due: at for due, at in self._due.items() if due[1] not in names}
            # In the order in which they were written: never an end without what came before it.
            await self._sync([self._segments[name] for name in sorted(names, key=layout.number)])

    async def _sync(self, segments: list[Segment]) -> None:
        try:
            await to_thread.run_sync(_sync_all, [segment.path for segment in segments])
            reached("spool.synced")
            if not all(segment.named_durably for segment in segments):
                await to_thread.run_sync(sync_dir, self.directory)
        except OSError as error:
            raise StateUnavailable(
                f"cannot sync the spool {self.directory}: {error.strerror}",
                hint="check the disk; what is in the spool is read again at the next start",
            ) from error
        for segment in segments:
            segment.named_durably = True

    async def _let_go_of_output(self) -> None:
        if not self._dropped:
            return
        dropped, self._dropped = self._dropped, []
        try:
            self._ledger.write()
            await to_thread.run_sync(self._ledger.sync)
        except OSError:
            # No room: it stays where it is, and is tried again.
            self._dropped += dropped
            return
        for key, segment in dropped:
            segment.settle(key, None)
            # The server has it: it need not be synced here, and its segment may go before it is.
            self._due.pop((key, segment.name), None)
            self._changed.add(segment)

    def _tidy(self) -> None:
        """Remove what nobody needs, and note what is settled in the rest."""
        for segment in self._changed:
            if segment.disposable:
                reached("spool.before_unlink")
                _remove(segment.path)
                reached("spool.unlinked")
                segment.close()
                del self._segments[segment.name]
                self._ledger.forget(segment.name)
            else:
                self._ledger.settle(segment.name, segment.floor(), segment.settled)
        self._changed = set()
        # No room: what the ledger does not know is only told again after a restart.
        with contextlib.suppress(OSError):
            self._ledger.write()

    def close(self) -> None:
        """Give it up. Shims that still run go on writing to it."""
        self._tidy()
        for segment in self._segments.values():
            segment.close()
        self._ledger.close()
        self._lock.release()


def _pass_over(piece: Piece, segment: Segment) -> None:
    """Keep in mind that a piece is settled, as long as its segment is needed for another one."""
    segment.hold(piece.key, piece.start)
    segment.settle(piece.key, piece.end)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateUnavailable(
            f"cannot remove {path}, which nobody needs any more: {error.strerror}",
            hint="check the disk; what is in the spool is read again at the next start",
        ) from error


def _sync_all(paths: list[Path]) -> None:
    # By name, because a reader may let go of its descriptor meanwhile.
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
