"""Who asks twice is answered in that order: the calls of one person in one place begin one after the other.

A call begins when the one before it has ended or, so that slow ones run beside each other, when that one's body has
had `HEAD_START`.
"""

from __future__ import annotations

import asyncio

from ircops.call import Call

HEAD_START = 0.1  # seconds; quick commands end within it, even when many come at once
TICKS = 4  # that it is made of
LATE = 0.005  # seconds; a tick that comes later counts as a tenth: a slow bot makes no slow command
NOT_YET = 0.05  # of a tick, while it is parsed or waits for a thread or the disk, which is not its own doing

Key = tuple[str, str, str, str]


class Lanes:
    """The calls that have come and not let the next one go on. On the loop only."""

    def __init__(self) -> None:
        self._last: dict[Key, Turn] = {}
        self._holding_up: set[Turn] = set()
        self._timer: asyncio.TimerHandle | None = None

    def turn(self, call: Call) -> Turn:
        """`async with` it: waits for the call's turn; leaving the block lets the next one begin."""
        sender = call.sender
        key = (sender.door, sender.network, call.where, sender.mask or sender.account)
        return Turn(self, key, call)

    def enter(self, turn: Turn) -> Turn | None:
        """Line up; gives the one before, if there is one."""
        before = self._last.get(turn.key)
        self._last[turn.key] = turn
        return before

    def leave(self, turn: Turn) -> None:
        if self._last.get(turn.key) is turn:
            del self._last[turn.key]
        self._holding_up.discard(turn)

    def watch(self, turn: Turn) -> None:
        """It has begun, and somebody waits for it."""
        self._holding_up.add(turn)
        if self._timer is None:
            self._wait_for_tick()

    def _wait_for_tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + HEAD_START / TICKS
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = None
        share = 1 if loop.time() - due < LATE else 0.1
        for turn in list(self._holding_up):
            turn.tick(share)
        if self._holding_up:
            self._wait_for_tick()


class Turn:
    """One call's."""

    def __init__(self, lanes: Lanes, key: Key, call: Call) -> None:
        self.key = key
        self._lanes, self._call = lanes, call
        self._has_begun = False
        self._next: asyncio.Future[None] | None = None  # whoever waits
        self._left = float(TICKS)

    async def __aenter__(self) -> None:
        before = self._lanes.enter(self)
        try:
            if before is not None:
                await before.over()
        except BaseException:
            self._end()
            raise
        self._has_begun = True
        if self._next is not None:
            self._lanes.watch(self)

    async def __aexit__(self, *error: object) -> None:
        self._end()

    async def over(self) -> None:
        """Wait until it has ended, or has had its head start."""
        self._next = asyncio.get_running_loop().create_future()
        if self._has_begun:
            self._lanes.watch(self)
        await self._next

    def tick(self, share: float) -> None:
        """It had so much of a tick more."""
        reply = self._call.reply
        # what has said something, or asks, may wait for people
        self._left -= share if reply.is_working or reply.lines or reply.is_asking else NOT_YET
        if self._left <= 0:
            self._end()

    def _end(self) -> None:
        self._lanes.leave(self)
        if self._next is not None and not self._next.done():
            self._next.set_result(None)
