"""Backups of the server: one moment of its database, and the files of its output."""

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.world.disk import Disk, Inode

if TYPE_CHECKING:
    from tests.simulation.parts.database import Database


@dataclass(frozen=True, slots=True)
class Backup:
    """What was there at one moment."""

    number: int
    rows: sqlite3.Connection
    files: dict[str, bytes]

    @classmethod
    def of(cls, number: int, database: "Database", disk: Disk) -> "Backup":
        """Take a copy of everything."""
        rows = sqlite3.connect(":memory:")
        database.raw.backup(rows)
        return cls(number, rows, {name: bytes(file.data) for name, file in disk.names.items()})

    def bring_back(self, database: "Database", disk: Disk) -> None:
        """Let everything be as it was then, on a disk that was not there before."""
        if database.raw.in_transaction:
            database.raw.execute("ROLLBACK")
        self.rows.backup(database.raw)
        disk.names.clear()
        disk.durable.clear()
        disk.changes.clear()
        for number, (name, data) in enumerate(sorted(self.files.items())):
            inode = disk.names[name] = disk.durable[name] = Inode(number)
            inode.data, inode.durable = bytearray(data), data
