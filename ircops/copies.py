"""Copies of the record elsewhere, entry by entry: the system's log, and a web server.

The record itself is the queue: each copy remembers in the database how far it is. So nothing is lost while its place
cannot be reached or the bot is down, and no call waits. After a crash entries may come twice; their `seq` tells.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from ircops.errors import OpsError
from ircops.store import chain

if TYPE_CHECKING:
    from ircops.store.database import Database

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks for new entries
LONGEST = 300.0  # seconds between tries while a place cannot be reached
BATCH = 100  # entries at once
PATIENCE = 10.0  # seconds for an answer
INFO = "<86>"  # authpriv.info, RFC 3164 §4.1.1
DATAGRAM = 60_000  # bytes; a longer one is refused


class Target(Protocol):
    """Where a copy goes. `send` returns when all the lines are there, and raises OSError."""

    name: str  # for people, and to remember by: it has no secret in it

    def send(self, lines: Sequence[str]) -> None: ...


class Syslog:
    """The system's log, which is journald's where that runs."""

    name = "syslog"

    def __init__(self, path: str = "/dev/log") -> None:
        self._path = path

    def send(self, lines: Sequence[str]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(PATIENCE)
            to.connect(self._path)
            for line in lines:
                to.send(f"{INFO}ircops: {line}".encode()[:DATAGRAM])


class Webhook:
    """A web server that takes JSON Lines by POST, and answers 2xx when it has them."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def send(self, lines: Sequence[str]) -> None:
        import http.client

        url = self._url
        is_plain = url.scheme == "http"
        kind = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
        with closing(kind(url.hostname or "", url.port, timeout=PATIENCE)) as connection:
            path = (url.path or "/") + (url.query and f"?{url.query}")
            body = "".join(f"{line}\n" for line in lines).encode()
            try:
                connection.request("POST", path, body, {"Content-Type": "application/jsonl"})
                answer = connection.getresponse()
                answer.read()
            except http.client.HTTPException as error:
                raise OSError(f"it does not answer in HTTP ({type(error).__name__})") from error
            if answer.status // 100 != 2:
                raise OSError(f"it answers {answer.status} {answer.reason}")


def targets(syslog: bool, url: str) -> list[Target]:
    """What the settings ask for; "" is no URL."""
    chosen: list[Target] = [Syslog()] if syslog else []
    return [*chosen, Webhook(url)] if url else chosen


class Copies:
    """Follows the record from `open` to `close`, with a thread for each target."""

    def __init__(self, database: Database, targets: Iterable[Target], look: float = LOOK) -> None:
        self._database, self._look = database, look
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=[target], name=target.name, daemon=True)
            for target in targets
        ]

    def open(self) -> None:
        """Begin; the database is open."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End; what is left is copied after the next start. Blocks until a POST under way has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def _follow(self, target: Target) -> None:
        """Copy whatever there is, and look again later, the later the longer that fails. In its thread."""
        wait, has_failed = 0.0, False
        while not self._over.wait(wait):
            try:
                wait = 0.0 if self._copy(target) == BATCH else self._look
            except (OpsError, OSError) as error:
                cause = error.message if isinstance(error, OpsError) else str(error)
                wait = min(2 * max(wait, self._look), LONGEST)
                if not has_failed:
                    log.error(
                        "the record's copy to %s waits: %s; it is tried again", target.name, cause
                    )
                has_failed = True
            else:
                if has_failed:
                    log.info("the record's copy to %s goes on where it stopped", target.name)
                has_failed = False

    def _copy(self, target: Target) -> int:
        """Send the next entries; gives how many there were. A new copy begins with what comes from now on."""
        from sqlalchemy import select

        from ircops.store.schema import counters, record

        name = f"copied to {target.name}"
        how_far = select(counters.c.value).where(counters.c.name == name)
        query = record.select().order_by(record.c.seq).limit(BATCH)
        with self._database.read() as connection:
            done = connection.execute(how_far).scalar()
            found = connection.execute(query.where(record.c.seq > (done or 0))).mappings()
            rows = [{str(key): value for key, value in row.items()} for row in found]
        if done is None:
            newest = "INSERT INTO counters SELECT ?, coalesce(max(seq), 0) FROM record"
            with self._database.append() as driver:
                driver.execute(newest, [name])
            return 0
        if rows:
            target.send([chain.canonical(row) for row in rows])
            forward = "UPDATE counters SET value = ? WHERE name = ?"
            with self._database.append() as driver:
                driver.execute(forward, [rows[-1]["seq"], name])
        return len(rows)
