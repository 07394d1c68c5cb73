"""What is running and what ran: the numbers that `!jobs`, `!tail` and `!kill` speak of."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ircops.call import Call, User
from ircops.errors import Denied, OpsError
from ircops.policy import Role
from ircops.redact import ByLine
from ircops.ssh.spool import Spool, files

State = Literal["waiting", "queued", "running", "done", "failed", "killed", "lost"]
REMEMBERED = 200  # ended jobs kept for !jobs and !tail, with their output; the record has them all
MEGABYTE = 1024 * 1024
END = 64 * 1024  # bytes of a file that are read for its last lines
# who asks for the last job does not mean these
ABOUT_JOBS = frozenset("again jobs kill last more tail".split())


@dataclass
class Job:
    """A call that runs or ran. Changed on the loop only."""

    number: int  # also the call's number on the record
    directory: Path  # of all output: a file for what a job said, a directory for what its hosts did
    user: User
    call: Call
    command: str
    started: datetime
    state: State = "waiting"
    ended: datetime | None = None
    outcome: str = ""
    hosts: str = ""
    head: bytearray = field(default_factory=bytearray)  # the output, as long as there is little
    runs: list[Any] = field(default_factory=list)  # Results on hosts, while it runs
    is_detached: bool = False  # something of it goes on without us
    clean: Callable[[str], str] = str  # takes secrets out of what it says
    is_filed: bool = False  # what it says is in a file by now
    _spool: Spool | None = None

    @property
    def output(self) -> Path:
        """The file of what it said, there once that is much."""
        return self.directory / f"{self.number}.out"

    def file(self) -> Path:
        """The file of what it says, from now on."""
        self.is_filed = True
        return self.output

    @property
    def may_have_files(self) -> bool:
        """To look for them costs more than a quick job; of one that was taken over nobody knows."""
        return self.is_filed or self._spool is not None or not self.head

    @property
    def spooled(self) -> Path:
        """The directory of what hosts put out, there once that is much."""
        return self.directory / str(self.number)

    def spool(self, most: int) -> Spool:
        """Where that goes, `most` megabytes in all."""
        self._spool = self._spool or Spool(self.spooled, most * MEGABYTE)
        return self._spool

    def tail(self, lines: int, host: str = "") -> list[str]:
        """The last lines of what it said, or else of what its hosts have put out so far; or of one host's. Any thread."""
        so_far: dict[str, str] = {}
        for results in list(self.runs):
            so_far |= results.so_far
        if host:
            texts = [so_far[host]] if host in so_far else map(_end, files(self.spooled, host))
            return [line for text in texts for line in self._cleaned(text)[-lines:]]
        if self.head:
            is_filed = self.output.exists()
            return _lines(_end(self.output) if is_filed else _text(bytes(self.head)))[-lines:]
        if self.output.exists():
            return _lines(_end(self.output))[-lines:]
        many = len(so_far) > 1
        return [
            f"{name}: {line}" if many else line
            for name, text in sorted(so_far.items())
            for line in self._cleaned(text)[-(1 if many else lines) :]
        ]

    def _cleaned(self, text: str) -> list[str]:
        """Its lines without the secrets in them: what hosts put out is kept as it came."""
        return [*map(ByLine(self.clean), _lines(text))]

    def report(self, text: str) -> None:
        """Say news of it that nobody asked for; any thread."""
        self.call.reply.report(f"job {self.number}: {text}")

    @property
    def away(self) -> list[str]:
        """The hosts out of reach at which we go on to look for it."""
        return [host for results in list(self.runs) for host in list(results.away)]

    @property
    def line(self) -> str:
        return self.call.line

    @property
    def where(self) -> str:
        return self.call.where


class Jobs:
    """The jobs that run, the last ones that ended, and the files their output is in."""

    def __init__(
        self,
        spool: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clean: Callable[[str], str] = str,
    ) -> None:
        """`clean` takes secrets out of what jobs say."""
        self._clean = clean
        self._spool = spool
        self._now = now
        self._running: dict[int, Job] = {}
        self._ended: deque[Job] = deque(maxlen=REMEMBERED)
        self.settled = asyncio.Event()  # a detached job has ended
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._presence = os.open(spool, os.O_RDONLY)  # our share of its lock, until we end
        fcntl.flock(self._presence, fcntl.LOCK_SH)

    def close(self) -> None:
        """Keep what is in memory of the jobs' output for the next bot, and let go of the directory."""
        for job in self._ended:
            if job.head and not job.output.exists():
                with contextlib.suppress(OSError):  # a full disk: then it is only on the record
                    job.output.touch(mode=0o600)
                    job.output.write_bytes(job.head)
        os.close(self._presence)

    def is_alone(self) -> bool:
        """Whether no other process, such as `ircops do`, has jobs here at this moment."""
        try:
            fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._presence, fcntl.LOCK_SH)
        return True

    def begin(self, number: int, user: User, call: Call, command: str, hosts: str = "") -> Job:
        """Enter a call under its number."""
        job = self.made(number, user, call, command, hosts)
        self.enter(job)
        return job

    def made(self, number: int, user: User, call: Call, command: str, hosts: str) -> Job:
        """A job that begins now, not entered yet."""
        started = self._now()
        return Job(
            number, self._spool, user, call, command, started, hosts=hosts, clean=self._clean
        )

    def enter(self, job: Job) -> None:
        """It has not ended."""
        self._running[job.number] = job

    def remember(self, job: Job) -> None:
        """It has ended; the oldest remembered one is forgotten with its output."""
        if len(self._ended) == self._ended.maxlen:
            oldest = self._ended[0]
            if oldest.may_have_files:
                oldest.output.unlink(missing_ok=True)
                shutil.rmtree(oldest.spooled, ignore_errors=True)
        self._ended.append(job)

    def tidy(self, unfinished: Iterable[int]) -> None:
        """Throw away the output of earlier jobs that are neither remembered nor of these numbers."""
        kept = {*self._running, *(job.number for job in self._ended), *unfinished}
        for path in self._spool.iterdir():
            number = path.name.removesuffix(".out")
            if number.isdigit() and int(number) not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def end(self, job: Job, state: State, outcome: str) -> None:
        """Note how a job ended."""
        job.state, job.outcome, job.ended = state, outcome, self._now()
        job.runs = []  # who still waits for them has the list; their output is not ours to keep
        self._running.pop(job.number, None)
        self.remember(job)
        if job.is_detached:
            self.settled.set()

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

    def last(self, where: str, user: User | None = None) -> Job:
        """The last job that ended and was called in `where`, of `user` if given; OpsError if there is none."""
        for job in self.recent:
            is_theirs = user is None or job.user.name == user.name
            if job.where == where and is_theirs and job.command not in ABOUT_JOBS:
                return job
        raise OpsError("nothing ended here that the bot remembers; see jobs, or the record")

    def kill(self, number: int, by: User) -> Job:
        """Ask a job to stop. Its owner may, and operators; Denied or OpsError otherwise."""
        job = self.find(number)
        if job.ended:
            raise OpsError(f"job {number} has already ended: {job.outcome}")
        if by.name != job.user.name and by.role < Role.OPERATOR:
            raise Denied(f"job {number} is {job.user}'s; killing it needs role operator")
        job.call.stop.ask(f"killed by {by}")
        return job

    def hand_over(self) -> None:
        """Let what is detached go on without us; the jobs that wait for it end here."""
        for job in self.running:
            for results in job.runs:
                results.leave()

    def stop_all(
        self, reason: str, states: tuple[State, ...] = ("waiting", "queued", "running")
    ) -> int:
        """Ask every job in one of these states to stop; how many there were."""
        asked = [job for job in self.running if job.state in states]
        for job in asked:
            job.call.stop.ask(reason)
        return len(asked)


def _end(path: Path) -> str:
    """The end of a file, of any bytes and any size, from the first whole line on."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - END, 0))
        data = file.read()
    return _text(data.partition(b"\n")[2] or data if size > END else data)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")
