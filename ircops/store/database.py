"""The database: opened, checked and brought up to date at start; afterwards a place to read and write.

A SQLite file, or PostgreSQL by its URL, with the same promises. Whatever goes wrong in it comes out as an
OpsError that says what to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from ircops.errors import OpsError
from ircops.store.sqlite import SQLite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

FILE = "ircops.sqlite"
BUSY = 5.0  # seconds to wait for another process that writes
MIGRATIONS = Path(__file__).parent / "migrations"


class Kind(Protocol):
    """What differs between one kind of database and another."""

    name: str  # for people: which one it is, without a password
    path: Path
    faults: tuple[type[Exception], ...]  # of its driver

    def opening(self) -> AbstractContextManager[None]: ...
    def connect(self) -> Any: ...
    def begin(self, connection: Any) -> bool: ...
    def engine(self) -> Engine: ...
    def check(self, connection: Any) -> None: ...
    def names(self, connection: Any) -> set[str]: ...
    def remedy(self, fault: Exception) -> str: ...
    def copy(self, target: Path) -> None: ...


class Database:
    """One database, from `open` to `close`. Blocking: for worker threads, not for the loop."""

    def __init__(self, database: str | Path = "", state: Path = Path(), busy: float = BUSY) -> None:
        """`database` is a path, relative to `state`, or a URL; "" is ircops.sqlite in `state`.

        `busy`: seconds to wait for another process that writes. Raises OpsError.
        """
        self._kind = _kind(str(database), state, busy)
        self._turn = threading.Lock()  # between our threads: SQLite looks again only after a while
        self._appends: Any = None
        self._engine: Engine | None = None
        self._making = threading.Lock()
        self._fault = ""
        self.trouble: Callable[[str], object] = lambda fault: None  # see `append`

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self._kind.path

    def open(self) -> None:
        """Make or check it and bring its schema up to date. Raises OpsError in a sentence."""
        try:
            with self._kind.opening():
                self._migrate(self._check())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._disconnect()
        with self._making:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's, for `read` and `write`."""
        with self._making:
            if self._engine is None:
                self._engine = self._kind.engine()
            return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of the data as of now, however long it takes to read. Raises OpsError."""
        with self._transaction(alone=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, durable when the block is left; no other process or thread writes meanwhile.

        What is read in it is therefore still true when it commits. Raises OpsError, and nothing is
        written then.
        """
        with self._turn, self._transaction(alone=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, alone: bool) -> Iterator[Connection]:
        from ircops.store.engine import transaction

        try:
            with transaction(self.engine, alone=alone) as connection:
                yield connection
        except TimeoutError as error:
            busy = f"the database {self._kind.name} is busy with other reads; try again"
            raise OpsError(busy) from error
        except self._kind.faults as error:
            raise self._in_words(error) from error

    @contextmanager
    def append(self) -> Iterator[Any]:
        """Like `write`, on a connection of the driver itself that is kept: every call waits for the record.

        SQL is spelled with `?`. When it fails for the first time, `trouble` is called with the sentence, and
        with "" when it works again; in the thread that wrote.
        """
        with self._turn:
            try:
                self._begin()
                yield self._appends
                self._appends.execute("COMMIT")
            except BaseException as error:
                self._disconnect()  # which rolls back; some faults have done so already
                fault = self._in_words(error) if isinstance(error, self._kind.faults) else error
                if isinstance(fault, OpsError) and not self._fault:
                    self._fault = fault.message
                    self.trouble(fault.message)
                if fault is error:
                    raise
                raise fault from error
            if self._fault:
                self._fault = ""
                self.trouble("")

    def _begin(self) -> None:
        if self._appends is not None and not self._kind.begin(self._appends):
            self.close()  # who reads needs new connections, too
        if self._appends is None:
            self._appends = self._kind.connect()
            if not self._kind.begin(self._appends):
                raise OpsError(f"the database {self._kind.name} has just gone; look where it is")

    def _disconnect(self) -> None:
        if self._appends is not None:
            self._appends.close()
            self._appends = None

    def unguarded(self) -> bool:
        """Whether somebody has taken away what refuses changes to the record. Raises OpsError."""
        with self.append() as connection:
            return not {name.lower() for name in self._kind.names(connection)} >= GUARDS

    def copy(self, target: Path) -> None:
        """Write a copy of it as of now to the file `target`; the bot goes on meanwhile. Raises OpsError."""
        self._kind.copy(target)

    def _check(self) -> str:
        """See that it is sound, and give the number of its schema, "" if it has none. Nobody who writes waits."""
        try:
            with closing(self._kind.connect()) as connection:
                self._kind.check(connection)
                if "alembic_version" not in self._kind.names(connection):
                    return ""
                found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                return str(found[0]) if found else ""
        except self._kind.faults as error:
            raise self._in_words(error) from error

    def _migrate(self, version: str) -> None:
        """Go forward to the newest schema; alone, since two processes may start at once."""
        known = sorted(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))
        if version not in ("", *known):
            raise OpsError(
                f"the database {self._kind.name} has schema {version} of a newer ircops, this one knows {known[-1]}; "
                "install the newer one again or restore the backup from before it"
            )
        if version != known[-1]:
            import alembic.command  # noqa: F401  # half a second, before anybody waits for our lock

            with self.write() as connection:
                _upgrade(connection)

    def _in_words(self, fault: Exception) -> OpsError:
        cause = " ".join(str(fault).split())
        remedy = self._kind.remedy(fault)
        return OpsError(f"the database {self._kind.name} fails: {cause}; {remedy}")


GUARDS = {f"record_no_{verb}" for verb in ("insert", "update", "delete")}  # triggers


def password(database: str) -> str:
    """The password in `[bot] database`, "" if there is none: it must not be said or recorded."""
    try:
        return unquote(urlsplit(database).password or "")
    except ValueError:
        return ""


def _kind(database: str, state: Path, busy: float) -> Kind:
    name = database.removeprefix("sqlite:///") or FILE
    scheme = name.partition("://")[0]
    if scheme == name:
        return SQLite((state / Path(name).expanduser()).expanduser(), busy)
    if scheme == "postgresql+psycopg":
        from ircops.store.postgres import Postgres

        return Postgres(database, busy)
    raise OpsError(  # not the rest, which may hold a password
        f"[bot] database: {scheme} is not supported; leave it empty, name a SQLite file, "
        "or write postgresql+psycopg://USER@HOST/NAME"
    )


def _upgrade(connection: Connection, to: str = "head") -> None:
    """Run the missing migrations in the transaction of `connection`: all of them or none."""
    from alembic import command, config

    settings = config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)
