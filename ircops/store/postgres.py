"""A PostgreSQL database by its URL: how it is reached and locked, and what to do when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

SCHEME = "postgresql+psycopg"
TURN = 0x6972636F7073  # "ircops", the advisory lock of who writes; each database has its own
ALONE = f"SELECT pg_advisory_xact_lock({TURN})"
REMEDIES = {  # SQLSTATE or its class, https://www.postgresql.org/docs/current/errcodes-appendix.html -> what to do
    "25006": "it only takes reads: name the primary in [bot] database",
    "42501": "let the bot's role own its tables",
    "53": "make room on its disk, or let it have more connections",
    "53100": "make room on its disk",
    "55P03": "end the other process that writes to it",
    "57014": "look at what keeps it busy",
    "XX": "look at its log",
}
REACH = "see that it runs, and correct [bot] database"  # no SQLSTATE: we did not get in
DEFAULTS = {  # of libpq, in seconds and milliseconds; the URL may say otherwise
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "10000",
    "application_name": "ircops",
}


class Postgres:
    """One database on a server, shared with whoever has its URL."""

    def __init__(self, url: str, busy: float) -> None:
        """`busy`: seconds to wait for another process that writes. Raises OpsError."""
        try:
            import psycopg
        except ImportError as error:
            raise OpsError(
                "[bot] database: PostgreSQL needs its driver: pip install 'ircops[postgres]'"
            ) from error
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            given = make_url(url)
        except (ArgumentError, ValueError):
            given = None
        if given is None or given.drivername != SCHEME or not given.database:
            raise OpsError(f"[bot] database: write {SCHEME}://USER@HOST/NAME")
        self._url = given.set(query={**DEFAULTS, **given.query})
        self.path = Path()  # it has none
        self.name = f"{given.database} on {given.host or given.query.get('host', 'this machine')}"
        self.faults: tuple[type[Exception], ...] = (psycopg.Error,)
        self._busy = busy

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Who starts at once takes turns at the migrations, which are written alone."""
        yield

    def connect(self) -> _Spelled:
        """A connection of the driver itself."""
        import psycopg

        where = self._url.translate_connect_args(username="user", database="dbname")
        options: dict[str, Any] = {**where, **self._url.query}
        made = psycopg.connect(**options, autocommit=True)
        self._configure(made)
        # a bot whose machine has gone must not keep the others from writing
        made.execute("SET idle_in_transaction_session_timeout = '30s'")
        return _Spelled(made)

    def begin(self, connection: _Spelled) -> bool:
        """Begin to write alone; False if the server has ended the connection since it was used."""
        # each statement must see what was committed before it had its turn
        import psycopg

        try:
            connection.made.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; {ALONE}")
        except psycopg.OperationalError:
            if connection.made.closed:
                return False
            raise
        return True

    def engine(self) -> Engine:
        """SQLAlchemy's way to the same database."""
        from ircops.store.engine import create

        view = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        return create(self._url, self._configure, {False: view, True: ALONE}, pool_pre_ping=True)

    def _configure(self, connection: Any) -> None:
        """Set what a connection must be told each time it is made; committed shall mean: on the disk."""
        connection.execute(f"SET lock_timeout = {int(self._busy * 1000)}")
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
        connection.commit()

    def check(self, connection: _Spelled) -> None:
        """Its server looks after that."""

    def names(self, connection: _Spelled) -> set[str]:
        """Of the tables there are, and of the triggers that are not disabled."""
        tables = "SELECT relname FROM pg_class WHERE pg_table_is_visible(oid)"
        triggers = "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
        return {name for (name,) in connection.execute(f"{tables} UNION {triggers}").fetchall()}

    def remedy(self, fault: Exception) -> str:
        """What to do about it."""
        state = getattr(fault, "sqlstate", None) or ""
        return (
            REMEDIES.get(state)
            or REMEDIES.get(state[:2])
            or (REACH if not state else "see its log")
        )

    def copy(self, target: Path) -> None:
        """It has a program for that."""
        raise OpsError(
            f"back up a PostgreSQL database with its own program: pg_dump -Fc -f {target}"
        )


class _Spelled:
    """psycopg's connection, taking SQL as SQLite spells it: with `?` for each value."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self.made.execute(_spelled(statement), values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Any:
        with self.made.cursor() as cursor:
            cursor.executemany(_spelled(statement), rows)

    def close(self) -> None:
        self.made.close()


@lru_cache(maxsize=64)
def _spelled(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")
