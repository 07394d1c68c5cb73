"""What was done on many hosts: a result for each as it comes, how far it is, equal answers folded."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ircops.call import Result
from ircops.errors import HandedOver
from ircops.ssh.detach import Detached
from ircops.ssh.folded import by_kind, folded, many, named, summed
from ircops.ssh.kill import TIME as KILL_TIME
from ircops.ssh.nodes import fold
from ircops.ssh.remote import NOT_STARTED, Remote
from ircops.ssh.steps import Steps
from ircops.ssh.waves import Waves

if TYPE_CHECKING:
    from ircops.ssh.pool import Pool

DOUBT = "may still run there"
NEWS = 5.0  # seconds until the first word of progress; then twice as long each time

Kinds = Remote | Detached | Steps


class Work(Protocol):
    """What is done on one host: by `run`, in a worker thread."""

    host: str
    ending: str  # what became of it after it was stopped or timed out, in words

    def run(self, pool: Pool) -> Result:
        """Do it; what goes wrong is in the Result."""

    def stop(self, reason: str) -> Result | None:
        """Ask it to end; never blocks. Gives the Result of what had not started, else `run` will."""


class Results:
    """What came of a fan-out: a `Result` for each host, in the order they complete.

    Each loop over it sees every result once, and waits for those that are not there yet. Echoed, it is
    all of them with equal answers folded. Meant for one thread; `stop` may come from any.
    """

    def __init__(
        self,
        hosts: Any,
        works: Iterable[Work],
        seconds: float | None,
        waves: Waves | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`hosts` is a NodeSet; `seconds` may pass in all; `tell` hears now and then how far it is."""
        self.hosts = hosts
        self._works = {work.host: work for work in works}
        self._waves = waves or Waves(len(self._works))
        self._waiting = deque(self._works.values())  # no thread has them yet; Fanout's lock
        self._due = self._waves.size  # of them in the wave that goes on; Fanout's lock
        self._running = 0  # threads at work for us; Fanout's lock
        self._done: list[Result] = []  # as they completed
        self._by_host: dict[str, Result] = {}
        self.failures = 0  # so far
        self._news = threading.Condition()
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._tell = tell if len(self._works) > 1 else None
        self.away: Mapping[str, str] = {}  # hosts out of reach at which we go on to look, and why
        self._is_left = False
        self._quiet = NEWS
        self._tell_at = time.monotonic() + NEWS

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[Result]:
        for index in range(len(self)):
            self._wait_for(index + 1)
            yield self._done[index]

    def wait(self) -> Results:
        """Block until there is a result for each host."""
        self._wait_for(len(self))
        return self

    @property
    def ok(self) -> bool:
        """Waits; every host said 0."""
        return not self.failed

    @property
    def failed(self) -> list[Result]:
        """Waits; the results that are not ok, by node set."""
        return [result for result in self._in_order() if not result.ok]

    @property
    def progress(self) -> str:
        """How far it is now: `31/40 done, 2 failed, waiting for web[7,9]`."""
        done = set(self._by_host)
        left = [host for host in self._works if host not in done]
        parts = [f"{len(done)}/{len(self)} done"]
        parts += [f"{self.failures} failed"] * bool(self.failures)
        parts += [f"waiting for {named(left)}"] * bool(left)
        return ", ".join(parts)

    def stop(self, reason: str) -> None:
        """Ask for the end of all that is not done; never blocks. The results say what became of each host."""
        for host, work in self._works.items():
            if host not in self._by_host and (result := work.stop(reason)):
                self._put(result)

    def leave(self) -> None:
        """Let what is detached go on without us, and who waits for it have HandedOver."""
        left = [work for host, work in self._works.items() if host not in self._by_host]
        detached = [work for work in left if isinstance(work, Detached)]
        is_left = [work.leave() for work in left if isinstance(work, Steps)]
        with self._news:
            self._is_left = bool(detached) or any(is_left)
            self._news.notify_all()
        for work in detached:
            work.leave()

    @property
    def so_far(self) -> dict[str, str]:
        """The end of what each host has put out that is not done yet; any thread."""
        works = [work for host, work in self._works.items() if host not in self._by_host]
        return {w.host: w.so_far for w in works if isinstance(w, Kinds) and w.so_far}

    @property
    def ending(self) -> str:
        """What became of those that were stopped: `killed on 39 hosts, web7 unreachable: may still run`.

        Waits; "" when all had ended by themselves.
        """
        self.wait()
        told: dict[str, list[str]] = {}
        for work in self._works.values():
            if work.ending:
                what, _, doubt = work.ending.partition(", ")
                what = f"{what}: may still run" if doubt else what.partition(" (")[0]
                told.setdefault(what, []).append(work.host)
        killed, rest = told.pop("killed", []), told.pop(NOT_STARTED, [])
        return ", ".join(
            [f"killed on {many(killed)}"] * bool(killed)
            + [f"{fold(hosts)} {what}" for what, hosts in told.items()]
            + [f"not started on {many(rest)}"] * bool(rest)
        )

    def __str__(self) -> str:
        """Waits; `web[1-38]: up 3 weeks`, several lines under a header; failures last, by kind."""
        answers = folded(result for result in self._in_order() if result.ok)
        return "\n".join([*answers, *self.faults])

    @property
    def faults(self) -> list[str]:
        """Waits; lines that tell what failed where: `3 timed out after 60 s: web[1-3] · 2 exit 1: db[1-2]`."""
        return by_kind(self.failed)

    @property
    def summary(self) -> str:
        """Waits; numbers in one line: `40 hosts: 1 (web3) to 7 (web9), median 2, sum 93`; else as echoed."""
        numbers = summed(result for result in self._in_order() if result.ok)
        return "\n".join([numbers, *self.faults]) if numbers else str(self)

    def _in_order(self) -> list[Result]:
        self.wait()
        return [self._by_host[host] for host in self.hosts]

    def _put(self, result: Result) -> None:
        with self._news:
            if result.host not in self._by_host:
                self._by_host[result.host] = result
                self.failures += not result.ok
                self._done.append(result)
                self._news.notify_all()

    def _is_settled(self, seconds: float) -> bool:
        """Every host has its result, within so long."""
        with self._news:
            return self._news.wait_for(lambda: len(self._done) == len(self), max(seconds, 0))

    def _wait_for(self, count: int) -> None:
        while True:
            with self._news:
                if self._news.wait_for(lambda: self._has(count), self._patience()):
                    if self._is_left:
                        raise HandedOver(
                            f"goes on without the bot on {self.hosts}; the bot tells the end when it is back"
                        )
                    return
            if self._deadline is not None and time.monotonic() >= self._deadline:
                break
            self._say_how_far()
        reason = f"not done after {self._seconds:.0f} s in all"
        self.stop(reason)
        self._is_settled(KILL_TIME)
        for host, work in self._works.items():  # its thread is stuck; do not wait for it
            if host not in self._by_host:
                work.ending = work.ending or DOUBT
                self._put(Result(host, error=f"stopped: {reason}; {DOUBT}"))

    def _has(self, count: int) -> bool:
        return self._is_left or len(self._done) >= count

    def _patience(self) -> float | None:
        """Seconds until something is to be done besides waiting; None = there is not."""
        ends = [self._deadline] if self._deadline is not None else []
        ends += [self._tell_at] if self._tell else []
        return max(min(ends) - time.monotonic(), 0) if ends else None

    def _say_how_far(self) -> None:
        if self._tell:
            self._quiet *= 2
            self._tell_at = time.monotonic() + self._quiet
            self._tell(self.progress)

    # What follows is Fanout's, under its lock.

    def _take(self) -> Work | None:
        """The next one, if the wave that goes on has one."""
        if not self._waiting or not self._due:
            return None
        self._due -= 1
        self._running += 1
        return self._waiting.popleft()

    def _next_wave(self) -> int:
        """One has ended; how many may begin now as nothing of the last wave is left."""
        self._running -= 1
        if self._running or self._due or not self._waiting:
            return 0
        self._due = min(self._waves.size, len(self._waiting))
        return self._due

    def _give_up(self) -> list[Work]:
        """What must not begin any more, as too many have failed."""
        if not self._waves.most_failures or self.failures < self._waves.most_failures:
            return []
        left = list(self._waiting)
        self._waiting.clear()
        return left
