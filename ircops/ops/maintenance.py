"""Hosts that are silent for a while, because somebody works on them: who, until when and why. Kept over a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ircops.errors import OpsError
from ircops.store.database import Database
from ircops.store.times import moment, stamp

LONGEST = timedelta(days=90)


@dataclass(frozen=True)
class Window:
    """One host's time of maintenance."""

    host: str
    ends: datetime  # aware, UTC
    by: str
    reason: str

    def __str__(self) -> str:
        """`until 14:00 UTC, alice: moving racks`."""
        why = f": {self.reason}" if self.reason else ""
        return f"until {self.ends:%a %H:%M} UTC, {self.by}{why}"


class Maintenance:
    """The windows that are open. `silenced` is for any thread; what changes them blocks. OpsError if the database fails."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database, self._now = database, now
        self._windows: dict[str, Window] | None = None  # replaced whole; None: not read yet
        self._reading = threading.Lock()

    @property
    def _known(self) -> dict[str, Window]:
        """By host; read at the first use."""
        with self._reading:
            if self._windows is None:
                with self._database.append() as connection:
                    rows = connection.execute("SELECT host, ends, by_whom, reason FROM maintenance")
                    self._windows = {
                        host: Window(host, moment(ends), by, reason)
                        for host, ends, by, reason in rows
                    }
            return self._windows

    def silenced(self, host: str) -> str:
        """Why it is silent: `until 14:00 UTC, alice: moving racks`; "" = it is not. Any thread; the first use blocks."""
        window = self._known.get(host)
        return str(window) if window and window.ends > self._now() else ""

    def open(self) -> list[Window]:
        """Those that last, the first to end in front."""
        now = self._now()
        lasting = [window for window in self._known.values() if window.ends > now]
        return sorted(lasting, key=lambda window: (window.ends, window.host))

    def begin(self, hosts: Collection[str], seconds: float, by: str, reason: str = "") -> Window:
        """Silence `hosts` from now on, in place of what was said of them before. Gives one of the windows."""
        length = timedelta(seconds=seconds)
        if not timedelta() < length <= LONGEST:
            raise OpsError(f"maintenance lasts up to {LONGEST.days} days, such as 30m, 2h or 1d")
        ends = self._now() + length
        new = [Window(host, ends, by, reason) for host in hosts]
        rows = [(window.host, stamp(ends), by, reason) for window in new]
        with self._database.append() as connection:
            gone = [(host,) for host in hosts]
            connection.executemany("DELETE FROM maintenance WHERE host = ?", gone)
            connection.execute("DELETE FROM maintenance WHERE ends < ?", (stamp(self._now()),))
            statement = "INSERT INTO maintenance (host, ends, by_whom, reason) VALUES (?, ?, ?, ?)"
            connection.executemany(statement, rows)
        self._windows = self._known | {window.host: window for window in new}
        return new[0]

    def end(self, hosts: Collection[str]) -> list[str]:
        """Let `hosts` be heard again; gives those that were silent. Raises OpsError if none was."""
        silent = [host for host in hosts if self.silenced(host)]
        if not silent:
            raise OpsError("none of them is in maintenance; maintenance lists those that are")
        with self._database.append() as connection:
            gone = [(host,) for host in silent]
            connection.executemany("DELETE FROM maintenance WHERE host = ?", gone)
        self._windows = {h: window for h, window in self._known.items() if h not in silent}
        return silent
