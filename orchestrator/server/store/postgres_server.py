"""A PostgreSQL server from the door: its address, getting in, and whether we can live there.

Nothing here is ever told with a password in it: an address is shown by its parts, and what libpq
says of a malformed one is not passed on, because it quotes it.
"""

import logging
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors, sql
from psycopg.types.numeric import Int8BinaryDumper

from orchestrator.kernel.errors import (
    AlreadyRunning,
    ConfigInvalid,
    OrchestratorError,
    VersionUnsupported,
)
from orchestrator.kernel.logs import event
from orchestrator.server.store.postgres_connection import (
    LOCK_TIMEOUT_S,
    STATEMENTS_CACHED,
    Raw,
    unreachable,
    words_of,
)

_LOGGER: Final = logging.getLogger(__name__)
OLDEST: Final = 140_000
"""PostgreSQL 14: older ones get no repairs any more."""
CONNECT_TIMEOUT_S: Final = 5
SERVER: Final = 0x4F524348_00000002
"""The lock of the one server of a database: `ORCH`, two."""
STATEMENT_TIMEOUT_S: Final = 30.0
SILENCE_LIMIT_S: Final = 20
"""A side whose machine vanished is noticed by the other after this, and not after two hours."""

_SETTINGS: Final[dict[str, str | int]] = {
    "application_name": "orchestrator",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": round(LOCK_TIMEOUT_S * 1000),
    "statement_timeout": round(STATEMENT_TIMEOUT_S * 1000),
    "idle_in_transaction_session_timeout": 60_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "client_encoding": "UTF8",
}
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENCE_LIMIT_S * 1000,
}
_WRONG_WORDS: Final = (
    ("password", "give the right one, in the address or in ~/.pgpass"),
    ("role", "create the user, or name another one in the address"),
    ("pg_hba.conf", "let this user and machine in: pg_hba.conf of the database server"),
    ("does not exist", "create the database: createdb --encoding UTF8 NAME"),
)
"""What libpq says when trying again will not help, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Server:
    """An address that was understood."""

    url: str = field(repr=False)
    alone: bool = False

    def __post_init__(self) -> None:
        try:
            conninfo.conninfo_to_dict(self.url)
        except psycopg.Error:
            raise ConfigInvalid(
                "the address of the database cannot be understood",
                hint="write postgresql://user@host:5432/name; in a password, %-escape what is "
                "neither a letter nor a digit",
            ) from None

    def __str__(self) -> str:
        """Return who connects to what, and nothing that is secret."""
        parts = conninfo.conninfo_to_dict(self.url)
        user = f"{parts['user']}@" if parts.get("user") else ""
        where = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"
        return f"postgresql://{user}{where}/{parts.get('dbname') or ''}"

    def connect(self) -> Raw:
        """Open a connection as we need it, or say why that cannot be."""
        try:
            raw = psycopg.connect(
                self.url,
                autocommit=True,  # transactions are begun and ended by us alone
                connect_timeout=CONNECT_TIMEOUT_S,
                prepare_threshold=2,
                **_KEEPALIVE,
            )
        except psycopg.Error as error:
            raise self._refused(error) from error
        try:
            self._prepare(raw)
        except psycopg.Error as error:
            raw.close()
            raise unreachable(error) from error
        except BaseException:
            raw.close()
            raise
        return raw

    def connect_writer(self) -> Raw:
        """Open the connection that writes; if we must be alone, nobody else has one meanwhile."""
        raw = self.connect()
        if self.alone:
            try:
                # Waits a little, because whoever was killed a moment ago still seems to be there.
                raw.execute(f"SELECT pg_advisory_lock({SERVER})".encode())
            except errors.LockNotAvailable as error:
                raw.close()
                raise AlreadyRunning(
                    f"another server works with the database {self}",
                    hint="stop that one first; this version has one server for each database",
                ) from error
            except psycopg.Error as error:
                raw.close()
                raise unreachable(error, str(self)) from error
        return raw

    def _refused(self, error: psycopg.Error) -> OrchestratorError:
        words = str(error)
        for sign, hint in _WRONG_WORDS:
            if sign in words:
                return ConfigInvalid(
                    f"the database {self} does not let us in: {words_of(error)}", hint=hint
                )
        return unreachable(error, str(self))

    def _prepare(self, raw: Raw) -> None:
        if raw.info.server_version < OLDEST:
            raise VersionUnsupported(
                f"the database {self} is PostgreSQL {raw.info.server_version // 10_000}; "
                f"{OLDEST // 10_000} or newer is needed",
                hint="upgrade the database server",
            )
        raw.prepared_max = STATEMENTS_CACHED
        # One type for every number: else a statement is planned anew for each mix of sizes.
        raw.adapters.register_dumper(int, Int8BinaryDumper)
        settings = (
            sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in _SETTINGS.items()
        )
        raw.execute(sql.SQL("; ").join(settings))

    def check(self, raw: Raw) -> None:
        """Refuse a database in which we could not keep what we promise."""
        ((encoding, standby, readonly, synced),) = raw.execute(
            "SELECT current_setting('server_encoding'), pg_is_in_recovery(), "
            "current_setting('transaction_read_only') = 'on', current_setting('fsync') = 'on'"
        ).fetchall()
        if encoding != "UTF8":
            raise ConfigInvalid(
                f"the database {self} is encoded as {encoding}, which cannot hold every text",
                hint="create one with: createdb --encoding UTF8 --template template0 NAME",
            )
        if standby or readonly:
            raise ConfigInvalid(
                f"the database {self} is {'a standby' if standby else 'read-only'}",
                hint="name the primary; or look at default_transaction_read_only",
            )

        if not synced:
            event(_LOGGER, logging.WARNING, "store.not_durable", database=str(self))

    def lacks(self, error: errors.InsufficientPrivilege) -> ConfigInvalid:
        """Return what is told when we may not do what we must."""
        return ConfigInvalid(
            f"the database {self} does not let us do what we must: {words_of(error)}",
            hint="our user needs to own the database, or CREATE and USAGE on its schema",
        )
