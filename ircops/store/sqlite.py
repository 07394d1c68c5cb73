"""A SQLite file in the bot's state directory: how it is made, checked, reached, locked and copied."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ircops.errors import OpsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOOK = 1.0  # seconds between looks whether the file is still there
RESTORE = "move it away or restore a backup"
REMEDIES = {  # SQLite's result code, https://sqlite.org/rescode.html -> what to do
    "SQLITE_BUSY": "end the other process that writes to it",
    "SQLITE_CANTOPEN": "it must be a file, in a directory that the bot may write",
    "SQLITE_CORRUPT": RESTORE,
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "look at its disk",
    "SQLITE_NOTADB": RESTORE,
    "SQLITE_PERM": "give it to the user the bot runs as",
    "SQLITE_READONLY": "give it to the user the bot runs as",
}


class SQLite:
    """One file, safe for many threads and for a second process."""

    faults: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path, busy: float) -> None:
        """`busy`: seconds to wait for another process that writes."""
        self.path = path
        self.name = str(path)
        self._busy = busy
        self._file: tuple[int, int] | None = None
        self._looked_at = float("-inf")

    @contextmanager
    def opening(self) -> Iterator[None]:
        """The file is there; who starts at once takes turns: SQLite waits for nobody while it changes to WAL."""
        self._make()
        handle = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _make(self) -> None:
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

    def connect(self) -> sqlite3.Connection:
        """A connection of the driver itself. A file that has gone is not made anew: that would hide the loss."""
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        made = sqlite3.connect(address, timeout=self._busy, check_same_thread=False, uri=True)
        configure(made)
        self._file = _identity(self.name)
        return made

    def begin(self, connection: sqlite3.Connection) -> bool:
        """Begin to write alone; False if the file was replaced or removed: what is written here would be lost."""
        now = time.monotonic()
        if now - self._looked_at > LOOK:
            if _identity(self.name) != self._file:
                return False
            self._looked_at = now
        connection.execute("BEGIN IMMEDIATE")
        return True

    def engine(self) -> Engine:
        """SQLAlchemy's way to the same file."""
        from sqlalchemy import URL

        from ircops.store.engine import create

        url = URL.create("sqlite", database=str(self.path))
        begins = {False: "BEGIN", True: "BEGIN IMMEDIATE"}
        return create(url, _configure_reader, begins, connect_args={"timeout": self._busy})

    def check(self, connection: sqlite3.Connection) -> None:
        """Raise OpsError if the file is damaged."""
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            cause = " ".join(str(found).split())
            raise OpsError(f"the database {self.name} is damaged ({cause}); {RESTORE}")

    def names(self, connection: sqlite3.Connection) -> set[str]:
        """Of the tables and triggers there are."""
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}

    def remedy(self, fault: Exception) -> str:
        """What to do about it."""
        name = getattr(fault, "sqlite_errorname", "")
        # SQLITE_IOERR_FSYNC: the kind is in the second word
        return REMEDIES.get("_".join(name.split("_")[:2]), "see the bot's log")

    def copy(self, target: Path) -> None:
        """A copy as of now, checked, in one file that only its owner reads; the bot goes on meanwhile.

        `target` is replaced when the copy is whole and on the disk. Raises OpsError.
        """
        if target.exists() and self.path.exists() and target.samefile(self.path):
            raise OpsError(f"{target} is the database itself; name another file")
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(part)) as made, closing(self.connect()) as ours:
                ours.backup(made)
                made.execute("PRAGMA journal_mode = DELETE")  # WAL would need two more files
                self.check(made)
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, target)
        except OSError as error:
            cause = (error.strerror or "it fails").lower()
            raise OpsError(f"cannot write {target}: {cause}; name another file") from error
        except sqlite3.Error as error:
            raise OpsError(f"cannot copy to {target}: {error}; {self.remedy(error)}") from error
        finally:
            part.unlink(missing_ok=True)


def configure(connection: sqlite3.Connection) -> None:
    """Set what a connection must be told each time it is made."""
    connection.isolation_level = (
        None  # transactions begin where we say, not where the driver guesses
    )
    connection.execute(
        "PRAGMA journal_mode = WAL"
    )  # readers and the writer do not wait for each other
    connection.execute(
        "PRAGMA synchronous = FULL"
    )  # committed is on the disk, also after a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _configure_reader(connection: sqlite3.Connection) -> None:
    configure(connection)
    # somebody may have bent the file: what is no text any more must be read to be named
    connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
