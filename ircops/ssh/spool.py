"""What a command puts out: its head and tail in memory, all of it in a file once that is more, and never without bound."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

KEPT = 1024 * 1024  # bytes of a stream in memory
TAIL = 256 * 1024  # of them from its end


class Spool:
    """The files of one job: bytes as they came, `most` of them in all. Any thread."""

    def __init__(self, directory: Path, most: int) -> None:
        self.directory = directory
        self._left = most
        self._lock = threading.Lock()

    def open(self, name: str) -> BinaryIO:
        """A new file for the stream `name`, for the bot's user only. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem, _, kind = quote(name, safe="@:[]").replace("~", "%7E").rpartition(".")
        for number in range(1, 10_000):  # a job may run several commands on a host
            path = self.directory / f"{stem}{f'~{number}' if number > 1 else ''}.{kind}"
            try:
                # unbuffered, for it is read while it is written
                return open(path, "xb", buffering=0, opener=_private)
            except FileExistsError:
                continue
        raise FileExistsError(name)

    def take(self, size: int) -> int:
        """So many of `size` bytes may be written."""
        with self._lock:
            granted = min(size, self._left)
            self._left -= granted
        return granted


class Stream:
    """One stream of one command on one host. Written by its thread, read by any."""

    def __init__(self, name: str, spool: Spool | None) -> None:
        """`name` is `web1.out`; without a spool what does not fit in memory is only counted."""
        self.size = 0
        self.path: Path | None = None  # of the file, once there is one
        self._name, self._spool = name, spool
        self._head, self._tail = bytearray(), bytearray()
        self._file: BinaryIO | None = None
        self._filed = 0

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.size += len(piece)
        room = KEPT - TAIL - len(self._head)
        self._head += piece[: max(room, 0)]
        self._tail += piece[max(room, 0) :]
        if self.size > KEPT:
            self._write(piece)
            if len(self._tail) > 2 * TAIL:
                del self._tail[:-TAIL]

    def close(self) -> None:
        """No more will come."""
        if self._file is not None:
            self._file.close()

    @property
    def text(self) -> str:
        """All of it or, of much, its beginning and its end, with a line between that says where the rest is."""
        if self.size <= KEPT:
            return bytes(self._head + self._tail).decode(errors="replace")
        head, tail = (
            bytes(part).decode(errors="replace") for part in (self._head, self._tail[-TAIL:])
        )
        return f"{head}\n(… {(self.size - KEPT) / 1e6:.1f} MB left out here{self._where()})\n{tail}"

    @property
    def end(self) -> str:
        """Its end as it is now, as much as is in memory."""
        return bytes((self._tail or self._head)[-TAIL:]).decode(errors="replace")

    def _where(self) -> str:
        if self.path is None:
            return ", and not kept"
        place = f"{self.path.parent.name}/{self.path.name}"
        lost = self.size - self._filed
        return f"; {place} has all of it" if not lost else f"; {place} has {_mb(self._filed)} MB"

    def _write(self, piece: bytes) -> None:
        if self._spool is None:
            return
        try:
            if self._file is None:
                piece = bytes(self._head + self._tail)
            granted = self._spool.take(len(piece))
            if granted and self._file is None:
                self._file = self._spool.open(self._name)
                self.path = Path(self._file.name)
            if granted and self._file is not None:
                self._filed += self._file.write(piece[:granted])
            if granted < len(piece):
                self._spool = None  # no gaps: what is there is the beginning
        except OSError:  # the disk is full, or not ours; the command goes on
            self._spool = None


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def files(directory: Path, host: str = "") -> Iterator[Path]:
    """What was spooled there, of one host or of all, oldest first."""
    found = (path for path in directory.glob("*.*") if not host or _host(path) == host)
    return iter(sorted(found, key=lambda path: path.stat().st_mtime_ns))


def _host(path: Path) -> str:
    return unquote(path.stem.partition("~")[0])
