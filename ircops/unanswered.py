"""Calls that wait for consent, kept in the database: the next bot asks again what this one had no answer to.

Nothing runs by itself after a restart. The call goes the whole path once more, so whoever asked must still have
the rights, by the account that was proven then; it is resolved anew, and has a new hash. Kept are calls in
channels; one with a secret in it is not, and who asked in private has to ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from ircops.call import Call, Kind, Outlet, Reply, Sender
from ircops.store.database import Database
from ircops.store.times import moment, stamp

COLUMNS = "call ends_at network channel name account mask evidence line".split()
INSERT = f"INSERT INTO unanswered VALUES ({', '.join('?' * len(COLUMNS))})"
SELECT = f"SELECT {', '.join(COLUMNS)} FROM unanswered ORDER BY call"
RESTORED = ", before a restart"


class Unanswered:
    """`kept` and `ask_again` are for the loop."""

    def __init__(
        self,
        database: Database,
        redact: Callable[[str], str],
        outlet: Callable[[tuple[str, ...]], Outlet],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outlet` gives the way to channels, each as `network/#channel`."""
        self._database, self._redact, self._outlet, self._now = database, redact, outlet, now
        self.is_closing = False  # what still waits is left to the next bot
        self._asking: set[asyncio.Future[int]] = set()

    @asynccontextmanager
    async def kept(self, number: int, call: Call, seconds: float) -> AsyncIterator[None]:
        """Keep the call with this number while the block waits for consent, which it may for so long.

        Raises OpsError when that cannot be written down.
        """
        is_ours = call.sender.door == "irc" and call.where and self._redact(call.line) == call.line
        if not is_ours:
            yield
            return
        sender, ends_at = call.sender, stamp(self._now() + timedelta(seconds=seconds))
        who = (sender.name, sender.account, sender.mask, sender.evidence.removesuffix(RESTORED))
        row = (number, ends_at, sender.network, call.where, *who, call.line)
        await asyncio.to_thread(self._execute, INSERT, row)
        try:
            yield
        finally:
            if not self.is_closing:
                await asyncio.to_thread(self._forget, number)

    async def ask_again(self, handle: Callable[[Call], Awaitable[int]]) -> None:
        """Give what another bot left to `handle`, or say that its time is up. Raises OpsError."""
        for row in await asyncio.to_thread(self._taken):
            outlet = self._outlet((f"{row['network']}/{row['channel']}",))
            asked = f"{row['account'] or row['name']} asked before a restart: {row['line']}"
            left = (moment(row["ends_at"]) - self._now()).total_seconds()
            if left <= 0:
                outlet.write(Kind.REPORT, f"{asked}; its time for consent is up, ask again")
                outlet.finish()
                continue
            outlet.write(Kind.REPORT, asked)
            sender = Sender(
                door="irc",
                name=row["name"],
                account=row["account"],
                mask=row["mask"],
                network=row["network"],
                evidence=row["evidence"] + RESTORED,
            )
            call = Call(sender, row["line"], Reply(outlet), row["channel"], patience=left)
            task = asyncio.ensure_future(handle(call))
            self._asking.add(task)  # the loop itself keeps no hold of it
            task.add_done_callback(self._asking.discard)

    def _taken(self) -> list[dict[str, Any]]:
        """What there is; it is nobody else's then. Blocking."""
        with self._database.append() as connection:
            rows = connection.execute(SELECT).fetchall()
            connection.execute("DELETE FROM unanswered")
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def _forget(self, number: int) -> None:
        self._execute("DELETE FROM unanswered WHERE call = ?", (number,))

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with self._database.append() as connection:
            connection.execute(statement, values)
