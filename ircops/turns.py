"""Jobs that wait their turn: for a lock that another holds, or until their caller or channel has fewer at work.

Who comes first is served first among those who want the same; a job takes all that it wants at once, or waits,
so no two wait for each other. What a person holds by hand (`ops/locks.py`) is for their own jobs only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ircops.errors import Stopped
from ircops.jobs import Job
from ircops.ops.locks import Held, Locks

SHARE = "a share of "  # begins the name of what is no lock


@dataclass(eq=False)
class _Turn:
    job: Job
    wants: Mapping[str, int]  # what it takes one of, and how many of that there are
    given: asyncio.Future[None]


class Turns:
    """On the loop."""

    def __init__(self, locks: Locks | None = None) -> None:
        self._locks = locks
        self._taken: Counter[str] = Counter()
        self._holders: list[_Turn] = []
        self._waiting: list[_Turn] = []
        if locks is not None:
            locks.on_release = self._give

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

    @property
    def locked(self) -> dict[str, Job]:
        """The locks that jobs have at this moment."""
        return {
            name: turn.job
            for turn in self._holders
            for name, count in turn.wants.items()
            if _is_lock(name, count)
        }

    def queued(self, lock: str) -> list[Job]:
        """The jobs that wait for `lock`, or something in it, the first first."""
        return [
            turn.job
            for turn in self._waiting
            if any(name == lock or name.startswith(f"{lock}:") for name in turn.wants)
        ]

    def _give(self) -> None:
        """Let all begin who can, in their order; nobody takes what somebody before them waits for.

        Shares are not kept for those who wait for a lock, or one queued job would hold up its whole channel. Who
        waits for what somebody holds by hand keeps nothing: that may take days.
        """
        wanted: set[str] = set()
        for turn in list(self._waiting):
            if self._kept(turn):
                continue
            missing = {name for name, count in turn.wants.items() if self._taken[name] >= count}
            if missing or wanted & turn.wants.keys():
                wanted |= missing | {
                    name for name, count in turn.wants.items() if _is_lock(name, count)
                }
                continue
            self._waiting.remove(turn)
            self._holders.append(turn)
            self._taken.update(turn.wants.keys())
            if not turn.given.done():
                turn.given.set_result(None)

    def _kept(self, turn: _Turn) -> Held | None:
        """What somebody else holds by hand of all that it wants."""
        for name in turn.wants if self._locks else ():
            assert self._locks is not None
            held = self._locks.over(name)
            if held and held.holder != turn.job.user.name:
                return held
        return None

    def _why(self, turn: _Turn) -> str:
        """`job 9 is queued: deploy:prod is taken by job 7 (bob: deploy shop prod); !kill 9 leaves the queue`."""
        number = turn.job.number
        if held := self._kept(turn):
            assert self._locks is not None
            told = held.told(self._locks.now())
            return (
                f"job {number} is queued: {held.name} is locked by {told}"
                f" · unlock {held.name} lets it go on, !kill {number} leaves the queue"
            )
        name = next(
            (name for name, count in turn.wants.items() if self._taken[name] >= count),
            next(iter(turn.wants)),
        )
        jobs = [holder.job for holder in self._holders if name in holder.wants]
        by = f"job {jobs[0].number} ({jobs[0].user}: {_said(jobs[0])})" if jobs else "others"
        by = f"{len(jobs)} jobs" if len(jobs) > 1 else by
        before = sum(bool(name in other.wants) for other in self._waiting) - 1
        others = f", {before} before it" if before else ""
        return f"job {number} is queued{others}: {name} is taken by {by}; !kill {number} leaves the queue"


def _is_lock(name: str, count: int) -> bool:
    return count == 1 and not name.startswith(SHARE)


def _said(job: Job) -> str:
    """Its line, for people elsewhere: it may have been said in private, with a password in it."""
    return job.clean(job.line)


def _end(turn: _Turn, reason: str) -> None:
    if not turn.given.done():
        turn.given.set_exception(Stopped(f"{reason}; it had not begun"))
