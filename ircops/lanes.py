"""Who asks twice is answered in that order: the calls of one person in one place begin one after the other.

A call begins when the one before it has ended or, so that slow ones run beside each other, has had `HEAD_START`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ircops.call import Call

HEAD_START = 0.1  # seconds; quick commands end within it, even when many come at once
TICKS = 4  # that it is made of
LATE = 0.005  # seconds; a tick that comes later counts as a tenth: a slow bot makes no slow command

Key = tuple[str, str, str, str]


class Lanes:
    """The calls that have come and not let the next one go on. On the loop only."""

    def __init__(self) -> None:
        self._last: dict[Key, _Turn] = {}

    @asynccontextmanager
    async def turn(self, call: Call) -> AsyncIterator[None]:
        """Wait for the call's turn; leaving the block lets the next one begin."""
        sender = call.sender
        key = (sender.door, sender.network, call.where, sender.mask or sender.account)
        before, mine = self._last.get(key), _Turn()
        self._last[key] = mine
        try:
            if before is not None:
                await before.over()
            mine.begin()
            yield
        finally:
            if self._last.get(key) is mine:
                del self._last[key]
            mine.end()


class _Turn:
    """One call's. It sets a timer only if somebody waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at: float | None = None
        self._next: asyncio.Future[None] | None = None  # whoever waits
        self._timer: asyncio.TimerHandle | None = None
        self._left = float(TICKS)
        self._due = 0.0  # when the next tick should come

    def begin(self) -> None:
        self._began_at = self._loop.time()
        self._set_timer()

    async def over(self) -> None:
        """Wait until it has ended, or has had its head start."""
        self._next = self._loop.create_future()
        self._set_timer()
        await self._next

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    def _set_timer(self) -> None:
        if self._next is not None and self._began_at is not None:
            had = (self._loop.time() - self._began_at) / HEAD_START * TICKS
            self._left = max(TICKS - had, 1)
            self._wait_for_tick()

    def _wait_for_tick(self) -> None:
        self._due = self._loop.time() + HEAD_START / TICKS
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._left -= 1 if self._loop.time() - self._due < LATE else 0.1
        if self._left > 0:
            self._wait_for_tick()
        else:
            self.end()
