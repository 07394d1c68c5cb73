"""Who asks twice is answered in that order: the calls of one person in one place begin one after the other.

A call begins when the one before it has ended or, so that slow ones run beside each other, has had `HEAD_START`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ircops.call import Call

HEAD_START = 0.1  # seconds; quick commands end within it, even when many come at once

Key = tuple[str, str, str, str]


class Lanes:
    """The calls that have come and not let the next one go on. On the loop only."""

    def __init__(self) -> None:
        self._last: dict[Key, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def turn(self, call: Call) -> AsyncIterator[None]:
        """Wait for the call's turn; leaving the block lets the next one begin."""
        sender = call.sender
        key = (sender.door, sender.network, call.where, sender.mask or sender.account)
        loop = asyncio.get_running_loop()
        before, mine = self._last.get(key), loop.create_future()
        self._last[key] = mine
        timer: asyncio.TimerHandle | None = None
        try:
            if before is not None:
                await asyncio.wait([before])
            timer = loop.call_later(HEAD_START, _go_on, mine)
            yield
        finally:
            if timer is not None:
                timer.cancel()
            if self._last.get(key) is mine:
                del self._last[key]
            _go_on(mine)


def _go_on(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
