"""What is running and what ran: the numbers that `!jobs`, `!tail` and `!kill` speak of."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ircops.call import Call, User
from ircops.errors import Denied, OpsError
from ircops.policy import Role

State = Literal["waiting", "running", "done", "failed", "killed"]
REMEMBERED = 200  # ended jobs kept for !jobs and !tail; the record has them all


@dataclass
class Job:
    """A call that runs or ran. Changed on the loop only."""

    number: int  # also the call's number on the record
    user: User
    call: Call
    command: str
    started: datetime
    state: State = "waiting"
    ended: datetime | None = None
    outcome: str = ""
    hosts: str = ""
    output: Path | None = None  # a file, once there is much
    head: bytearray = field(default_factory=bytearray)  # the output, as long as there is little
    runs: list[Any] = field(default_factory=list)  # Results on hosts, while it runs

    @property
    def line(self) -> str:
        return self.call.line

    @property
    def where(self) -> str:
        return self.call.where


class Jobs:
    """The jobs of this bot since it started, and the files their output is in."""

    def __init__(
        self, spool: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._spool = spool
        self._now = now
        self._running: dict[int, Job] = {}
        self._locks: dict[str, Job] = {}
        self._ended: deque[Job] = deque(maxlen=REMEMBERED)
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in spool.glob("*.out"):  # of an earlier run: nobody can ask for them any more
            left.unlink()

    def begin(self, number: int, user: User, call: Call, command: str, hosts: str = "") -> Job:
        """Enter a call under its number."""
        job = Job(number, user, call, command, self._now(), hosts=hosts)
        job.output = self._spool / f"{number}.out"
        self._running[number] = job
        return job

    @contextmanager
    def locked(self, lock: str, job: Job) -> Iterator[None]:
        """Hold `lock` while the block runs; OpsError that names the holder if it is taken. "" is no lock."""
        if holder := self._locks.get(lock):
            raise OpsError(
                f"{lock} is locked by job {holder.number} ({holder.user}: {holder.line}); "
                f"try again when it has ended"
            )
        if lock:
            self._locks[lock] = job
        try:
            yield
        finally:
            self._locks.pop(lock, None)

    def end(self, job: Job, state: State, outcome: str) -> None:
        """Note how a job ended; the oldest remembered one is forgotten with its output."""
        job.state, job.outcome, job.ended = state, outcome, self._now()
        job.runs = []  # who still waits for them has the list; their output is not ours to keep
        self._running.pop(job.number, None)
        if len(self._ended) == self._ended.maxlen and (oldest := self._ended[0].output):
            oldest.unlink(missing_ok=True)
        self._ended.append(job)

    @property
    def running(self) -> list[Job]:
        """Jobs that have not ended, oldest first."""
        return list(self._running.values())

    @property
    def recent(self) -> list[Job]:
        """Jobs that ended, newest first."""
        return list(reversed(self._ended))

    def find(self, number: int) -> Job:
        """The job with that number, running or remembered; OpsError if there is none."""
        for job in itertools.chain(self._running.values(), self._ended):
            if job.number == number:
                return job
        raise OpsError(f"no job {number}; running and recent ones: jobs · older: record {number}")

    def kill(self, number: int, by: User) -> Job:
        """Ask a job to stop. Its owner may, and operators; Denied or OpsError otherwise."""
        job = self.find(number)
        if job.ended:
            raise OpsError(f"job {number} has already ended: {job.outcome}")
        if by.name != job.user.name and by.role < Role.OPERATOR:
            raise Denied(f"job {number} is {job.user}'s; killing it needs role operator")
        job.call.stop.ask(f"killed by {by}")
        return job

    def stop_all(self, reason: str, states: tuple[State, ...] = ("waiting", "running")) -> int:
        """Ask every job in one of these states to stop; how many there were."""
        asked = [job for job in self.running if job.state in states]
        for job in asked:
            job.call.stop.ask(reason)
        return len(asked)
