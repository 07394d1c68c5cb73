"""The database: opened, checked and brought up to date at start; afterwards a place to read and write.

SQLite in the bot's state directory, safe for many threads and for a second process. Whatever goes wrong
in it comes out as an OpsError that says what to do.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy import exc as faults
from sqlalchemy.pool import ConnectionPoolEntry

from ircops.errors import OpsError

FILE = "ircops.sqlite"
BUSY = 5.0  # seconds to wait for another process that writes
MIGRATIONS = Path(__file__).parent / "migrations"
ALONE = "ircops_alone"  # execution option: the transaction takes the write lock when it begins

REMEDIES = {  # SQLite's result code, https://sqlite.org/rescode.html -> what to do
    "SQLITE_BUSY": "end the other process that writes to it",
    "SQLITE_CANTOPEN": "it must be a file, in a directory that the bot may write",
    "SQLITE_CORRUPT": "move it away or restore a backup",
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "look at its disk",
    "SQLITE_NOTADB": "move it away or restore a backup",
    "SQLITE_PERM": "give it to the user the bot runs as",
    "SQLITE_READONLY": "give it to the user the bot runs as",
}


class Database:
    """One database, from `open` to `close`. Blocking: for worker threads, not for the loop."""

    engine: Engine

    def __init__(self, database: str | Path = "", state: Path = Path(), busy: float = BUSY) -> None:
        """`database` is a path, relative to `state`, or `sqlite:///PATH`; "" is ircops.sqlite in `state`."""
        name = str(database).removeprefix("sqlite:///") or FILE
        if "://" in name:
            scheme = name.partition("://")[0]  # not the rest, which may hold a password
            raise OpsError(
                f"[bot] database: {scheme} is not supported; leave it empty or name a SQLite file"
            )
        self.path = (state / Path(name).expanduser()).expanduser()
        self._turn = threading.Lock()  # between our threads: SQLite looks again only after a while
        self._busy = busy
        self._appends: sqlite3.Connection | None = None

    def open(self) -> None:
        """Make or check the file and bring its schema up to date. Raises OpsError in a sentence."""
        self._make_file()
        with _alone_in(self.path.parent):
            self._open()

    def _open(self) -> None:
        url = URL.create("sqlite", database=str(self.path))
        self.engine = create_engine(url, connect_args={"timeout": self._busy})
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin)
        self._alone = self.engine.execution_options(**{ALONE: True})
        try:
            self._check()
            self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._appends is not None:
            self._appends.close()
            self._appends = None
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A view of the data as of now, however long it takes to read. Raises OpsError."""
        with self._in_a_sentence(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, durable when the block is left; no other process or thread writes meanwhile.

        What is read in it is therefore still true when it commits. Raises OpsError, and nothing is
        written then.
        """
        with self._turn, self._in_a_sentence(), self._alone.begin() as connection:
            yield connection

    @contextmanager
    def append(self) -> Iterator[sqlite3.Connection]:
        """Like `write`, on a connection of the driver itself that is kept: every call waits for the record."""
        with self._turn, self._in_a_sentence():
            if self._appends is None:
                made = sqlite3.connect(self.path, timeout=self._busy, check_same_thread=False)
                _configure(made)
                self._appends = made
            self._appends.execute("BEGIN IMMEDIATE")
            try:
                yield self._appends
                self._appends.execute("COMMIT")
            except BaseException:
                if self._appends.in_transaction:  # some faults have rolled it back already
                    self._appends.execute("ROLLBACK")
                raise

    def _make_file(self) -> None:
        """The file holds what everybody did, so only its owner may read it; SQLite's side files follow."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            if self.path.is_file():
                self.path.chmod(0o600)
        except OSError as error:
            cause = (error.strerror or "it fails").lower()
            raise OpsError(
                f"cannot make the database {self.path}: {cause}; set [bot] state to a directory the bot may write"
            ) from error

    def _check(self) -> None:
        with self.read() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            cause = " ".join(str(found).split())
            raise OpsError(
                f"the database {self.path} is damaged ({cause}); {REMEDIES['SQLITE_CORRUPT']}"
            )

    def _migrate(self) -> None:
        """Go forward to the newest schema; alone, since two processes may start at once."""
        known = sorted(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))
        with self.read() as connection:
            if _version(connection) != known[-1]:
                import alembic.command  # noqa: F401  # half a second, before anybody waits for our lock
        with self.write() as connection:
            version = _version(connection)
            if version not in ("", *known):
                raise OpsError(
                    f"the database {self.path} has schema {version} of a newer ircops, this one knows {known[-1]}; "
                    "install the newer one again or restore the backup from before it"
                )
            if version != known[-1]:
                _upgrade(connection)

    @contextmanager
    def _in_a_sentence(self) -> Iterator[None]:
        try:
            yield
        except faults.TimeoutError as error:
            raise OpsError(
                f"the database {self.path} is busy with other reads; try again"
            ) from error
        except (faults.DBAPIError, sqlite3.Error) as error:
            cause = getattr(error, "orig", error)
            name = getattr(cause, "sqlite_errorname", "")
            # SQLITE_IOERR_FSYNC: the kind is in the second word
            remedy = REMEDIES.get("_".join(name.split("_")[:2]), "see the bot's log")
            raise OpsError(f"the database {self.path} fails: {cause}; {remedy}") from error


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two processes that start at once take turns: SQLite waits for nobody while it changes to WAL."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _configure(connection: sqlite3.Connection, entry: ConnectionPoolEntry | None = None) -> None:
    """Set what a connection must be told each time it is made."""
    connection.isolation_level = (
        None  # transactions begin where `_begin` says, not where the driver guesses
    )
    connection.execute(
        "PRAGMA journal_mode = WAL"
    )  # readers and the writer do not wait for each other
    connection.execute(
        "PRAGMA synchronous = FULL"
    )  # committed is on the disk, also after a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    alone = connection.get_execution_options().get(ALONE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")


def _version(connection: Connection) -> str:
    """The schema's number, as Alembic keeps it; "" in a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    """Run the missing migrations in the transaction of `connection`: all of them or none."""
    from alembic import command, config

    settings = config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
