"""Jobs that wait their turn: for a lock that another holds, or until their caller or channel has fewer at work.

Who comes first is served first among those who want the same; a job takes all that it wants at once, or waits,
so no two wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ircops.errors import Stopped
from ircops.jobs import Job


@dataclass(eq=False)
class _Turn:
    job: Job
    wants: Mapping[str, int]  # what it takes one of, and how many of that there are
    given: asyncio.Future[None]


class Turns:
    """On the loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._holders: list[_Turn] = []
        self._waiting: list[_Turn] = []

    @asynccontextmanager
    async def taken(self, job: Job, wants: Mapping[str, int]) -> AsyncIterator[None]:
        """Have one of each of `wants` while the block runs: a name that people know, and how many of it there are.

        Says so when the job has to wait, which may be for ever. Raises Stopped at a kill.
        """
        loop, call = asyncio.get_running_loop(), job.call
        turn = _Turn(job, wants, loop.create_future())
        self._waiting.append(turn)
        self._give()
        if not turn.given.done():
            job.state = "queued"
            call.reply.say(self._why(turn))
            call.stop.on_ask(lambda reason: loop.call_soon_threadsafe(_end, turn, reason))
        try:
            await turn.given
            yield
        finally:
            if turn in self._holders:
                self._holders.remove(turn)
                self._taken.subtract(wants.keys())
            else:
                self._waiting.remove(turn)
            self._give()

    def _give(self) -> None:
        """Let all begin who can, in their order; nobody takes what somebody before them waits for."""
        wanted: set[str] = set()
        for turn in list(self._waiting):
            missing = [name for name, count in turn.wants.items() if self._taken[name] >= count]
            if missing or wanted & turn.wants.keys():
                wanted |= turn.wants.keys()
                continue
            self._waiting.remove(turn)
            self._holders.append(turn)
            self._taken.update(turn.wants.keys())
            if not turn.given.done():
                turn.given.set_result(None)

    def _why(self, turn: _Turn) -> str:
        """`job 9 is queued: deploy:prod is taken by job 7 (bob: deploy shop prod); !kill 9 leaves the queue`."""
        name = next(
            (name for name, count in turn.wants.items() if self._taken[name] >= count),
            next(iter(turn.wants)),
        )
        jobs = [holder.job for holder in self._holders if name in holder.wants]
        by = f"job {jobs[0].number} ({jobs[0].user}: {jobs[0].line})" if jobs else "others"
        by = f"{len(jobs)} jobs" if len(jobs) > 1 else by
        before = sum(bool(name in other.wants) for other in self._waiting) - 1
        others = f", {before} before it" if before else ""
        number = turn.job.number
        return f"job {number} is queued{others}: {name} is taken by {by}; !kill {number} leaves the queue"


def _end(turn: _Turn, reason: str) -> None:
    if not turn.given.done():
        turn.given.set_exception(Stopped(f"{reason}; it had not begun"))
