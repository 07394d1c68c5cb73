"""Locks that people hold by hand, over many jobs: who, since when, why. They survive a restart.

A lock of a name is one of everything in it, too: `deploy` keeps jobs from `deploy:prod`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ircops.errors import Denied, OpsError
from ircops.store.times import clock_time, moment, stamp

if TYPE_CHECKING:
    from ircops.call import Outlet
    from ircops.store.database import Database

SELECT = "SELECT name, since, holder, place, reason FROM locks ORDER BY since, name"
INSERT = "INSERT INTO locks (name, since, holder, place, reason) VALUES (?, ?, ?, ?, ?)"
DELETE = "DELETE FROM locks WHERE name = ?"


@dataclass(frozen=True)
class Held:
    """A lock in somebody's hand."""

    name: str
    holder: str  # the name of a User
    since: datetime
    place: str  # network/#channel where it was taken; "" = in private, or at the console
    reason: str

    def told(self, now: datetime | None = None) -> str:
        """`alice since 09:12: migrating the database`."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.holder} since {clock_time(self.since, now)}{reason}"


class Locks:
    """All that are held, from `load` on. On the loop."""

    def __init__(
        self,
        database: Database,
        outlet: Callable[[tuple[str, ...]], Outlet],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outlet` gives the way to channels, each as `network/#channel`."""
        self._database, self._outlet, self.now = database, outlet, now
        self._held: dict[str, Held] = {}
        self._writing = asyncio.Lock()
        self.on_release: Callable[[], object] = lambda: None  # who waited may have it now

    async def load(self) -> None:
        """Read what was held when the last bot ended. Raises OpsError."""
        self._held = {held.name: held for held in await asyncio.to_thread(self._read)}

    @property
    def held(self) -> list[Held]:
        """All of them, the oldest first."""
        return sorted(self._held.values(), key=lambda held: held.since)

    def over(self, name: str) -> Held | None:
        """The lock that keeps `name`: its own, or one of what it is in."""
        while name not in self._held:
            name, colon, _ = name.rpartition(":")
            if not colon:
                return None
        return self._held[name]

    async def hold(
        self, name: str, by: str, place: str = "", reason: str = "", steal: bool = False
    ) -> Held | None:
        """Take `name`, or say another reason for one's own; gives what was held before.

        Raises Denied for somebody else's, unless `steal`, which is told where they took it.
        """
        async with self._writing:
            before = self._held.get(name)
            if before and before.holder != by and not steal:
                raise Denied(f"{name} is locked by {before.told(self.now())} · --steal takes it")
            is_own = before is not None and before.holder == by
            since = before.since if before and is_own else self.now()
            held = Held(name, by, since, place, reason)
            row = (name, stamp(since), by, place, reason)
            await asyncio.to_thread(self._write, name, row)
            self._held[name] = held
            if before and not is_own:
                self._tell(before, by, place)
            self.on_release()  # a new holder's own jobs may begin
            return before

    async def release(self, name: str, by: str, place: str = "", steal: bool = False) -> Held:
        """Give `name` back, and give what it was. Raises OpsError if it is not held, Denied for somebody else's."""
        async with self._writing:
            before = self._held.get(name)
            if before is None:
                known = ", ".join(self._held) or "none"
                raise OpsError(f"{name} is not locked by hand; held: {known}")
            if before.holder != by and not steal:
                raise Denied(
                    f"{name} is {before.holder}'s, {before.told(self.now())}"
                    f" · unlock --steal {name} if they agree, or are away"
                )
            await asyncio.to_thread(self._write, name, None)
            del self._held[name]
            if before.holder != by:
                self._tell(before, by, place)
            self.on_release()
            return before

    def _tell(self, before: Held, by: str, place: str) -> None:
        """Where its holder took it, unless all is said there anyway."""
        if before.place and before.place != place:
            from ircops.call import Kind

            outlet = self._outlet((before.place,))
            text = f"{by} took {before.holder}'s lock {before.name}"
            outlet.write(Kind.REPORT, f"{text} (since {clock_time(before.since, self.now())})")
            outlet.finish()

    def _read(self) -> list[Held]:
        with self._database.append() as connection:
            rows = connection.execute(SELECT).fetchall()
        return [
            Held(name, holder, moment(since), place, reason)
            for name, since, holder, place, reason in rows
        ]

    def _write(self, name: str, row: tuple[str, ...] | None) -> None:
        with self._database.append() as connection:
            connection.execute(DELETE, (name,))
            if row:
                connection.execute(INSERT, row)
