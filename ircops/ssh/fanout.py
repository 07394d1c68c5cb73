"""Many hosts at once: results as they come, equal answers folded, fair between several at a time."""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

from ircops.call import Result, Stop
from ircops.config import Ssh
from ircops.errors import OpsError
from ircops.ssh.inventory import MOST_HOSTS, fold
from ircops.ssh.kill import TIME as KILL_TIME
from ircops.ssh.kill import with_environment
from ircops.ssh.pool import Pool
from ircops.ssh.remote import NOT_STARTED, Command, Remote

log = logging.getLogger(__name__)

DOUBT = "may still run there"
STEPS = 6  # of connect_timeout each: dial, handshake, log in, a session; twice if an old connection was dead


class Results:
    """What a command did on every host: a `Result` for each, in the order they complete.

    Each loop over it sees every result once, and waits for those that are not there yet. Echoed, it is
    all of them with equal answers folded. Meant for one thread; `stop` may come from any.
    """

    def __init__(self, hosts: Any, remotes: Iterable[Remote], seconds: float | None) -> None:
        self.hosts = hosts  # NodeSet
        self._remotes = {remote.host: remote for remote in remotes}
        self._waiting = deque(self._remotes.values())  # no thread has them yet; Fanout's lock
        self._running = 0  # threads at work for us; Fanout's lock
        self._done: list[Result] = []  # as they completed
        self._by_host: dict[str, Result] = {}
        self._news = threading.Condition()
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def __len__(self) -> int:
        return len(self._remotes)

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
        self.wait()
        results = (self._by_host[host] for host in self.hosts)
        return [result for result in results if not result.ok]

    def stop(self, reason: str) -> None:
        """Ask for the end of all that is not done; never blocks. The results say what became of each host."""
        for host, remote in self._remotes.items():
            if host not in self._by_host and (result := remote.stop(reason)):
                self._put(result)

    @property
    def ending(self) -> str:
        """What became of those that were stopped: `killed on 39 hosts, web7 unreachable: may still run`.

        Waits; "" when all had ended by themselves.
        """
        self.wait()
        told: dict[str, list[str]] = {}
        for remote in self._remotes.values():
            if remote.ending:
                what, _, doubt = remote.ending.partition(", ")
                what = f"{what}: may still run" if doubt else what.partition(" (")[0]
                told.setdefault(what, []).append(remote.host)
        killed, rest = told.pop("killed", []), told.pop(NOT_STARTED, [])
        return ", ".join(
            [f"killed on {_hosts(killed)}"] * bool(killed)
            + [f"{fold(hosts)} {what}" for what, hosts in told.items()]
            + [f"not started on {_hosts(rest)}"] * bool(rest)
        )

    def __str__(self) -> str:
        """Waits; `web[1-38]: up 3 weeks`, several lines under a header, failures last."""
        self.wait()
        alike: dict[tuple[bool, str], list[str]] = {}
        for host in self.hosts:
            result = self._by_host[host]
            alike.setdefault((not result.ok, result.text), []).append(host)
        # sorted() is stable: by node set within those that are fine, and those that are not
        groups = sorted(alike.items(), key=lambda item: item[0][0])
        return "\n".join(_paragraph(fold(hosts), text) for (_, text), hosts in groups)

    def _put(self, result: Result) -> None:
        with self._news:
            if result.host not in self._by_host:
                self._by_host[result.host] = result
                self._done.append(result)
                self._news.notify_all()

    def _is_settled(self, seconds: float) -> bool:
        """Every host has its result, within so long."""
        with self._news:
            return self._news.wait_for(lambda: len(self._done) == len(self), max(seconds, 0))

    def _wait_for(self, count: int) -> None:
        with self._news:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if self._news.wait_for(lambda: len(self._done) >= count, left):
                return
        reason = f"not done after {self._seconds:.0f} s in all"
        self.stop(reason)
        self._is_settled(KILL_TIME)
        for host, remote in self._remotes.items():  # its thread is stuck; do not wait for it
            if host not in self._by_host:
                remote.ending = remote.ending or DOUBT
                self._put(Result(host, error=f"stopped: {reason}; {DOUBT}"))


class Fanout:
    """Runs commands on hosts over the connections of a pool, with a bounded number of threads.

    Fair: one run has at most `fanout` threads and there are twice as many, so that one run of slow hosts
    leaves half of them to others; and a thread that is free takes the next host of the run whose turn it
    is, in a circle, so that a run of three hosts waits for three hosts of each other run, not for all.
    """

    def __init__(self, pool: Pool, ssh: Ssh) -> None:
        self._pool = pool
        self._ssh = ssh
        self._threads = ThreadPoolExecutor(2 * ssh.fanout, thread_name_prefix="ssh")
        self._lock = threading.Lock()
        self._turns: deque[Results] = deque()  # runs with hosts that wait
        self._open: set[Results] = set()
        self._is_closed = False

    def run(
        self,
        command: str | list[str],
        hosts: Any,
        *,
        stop: Stop | None = None,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        fast: bool = False,
    ) -> Results:
        """Start `command` on `hosts` (a NodeSet, names, or text like `@web`) and give the Results to come.

        A list is quoted before it meets the remote shell; a string is a shell line that the author wrote.
        `timeout` is seconds for each host from its start there (None: command_timeout; 0: none); the whole
        run ends, stuck or not, after that and the time to connect for each `fanout` of hosts. What is stopped
        or overruns its time is killed there, with all its children, and looked for until it is seen gone.

        `fast` is for short lines of POSIX sh that only look and may run twice: a resident shell on each host runs
        them, where it has one; newlines at the end of their output become one, NUL bytes are dropped. Raises
        OpsError for no hosts or more than MOST_HOSTS, for text that does not resolve, and after `close`.
        """
        timeout = self._ssh.command_timeout if timeout is None else timeout
        line = command if isinstance(command, str) else shlex.join(command)
        with_environment(
            "", environment or {}
        )  # a wrong name is the caller's mistake, not the hosts'
        what = Command(line, stdin, timeout, dict(environment or {}), fast)
        names = self._pool.inventory.resolve(hosts) if isinstance(hosts, str) else hosts
        nodes = NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)
        if not 0 < len(nodes) <= MOST_HOSTS:
            raise OpsError(f"{len(nodes)} hosts, where 1 to {MOST_HOSTS} will do")
        waves = math.ceil(len(nodes) / self._ssh.fanout)
        seconds = waves * (timeout + STEPS * self._ssh.connect_timeout) if timeout else None
        results = Results(nodes, [Remote(host, what) for host in nodes], seconds)
        with self._lock:
            if self._is_closed:
                raise OpsError("the bot is stopping")
            self._turns.append(results)
            self._open.add(results)
            for _ in range(min(len(nodes), self._ssh.fanout)):
                self._add_worker()
        if stop is not None:
            stop.on_ask(results.stop)
        return results

    def close(self) -> None:
        """Stop what runs, wait until it is dead or can no longer be reached, and close the connections."""
        with self._lock:
            self._is_closed = True
            runs = list(self._open)
        for results in runs:
            results.stop("the bot is stopping")
        deadline = time.monotonic() + KILL_TIME + 1
        for results in runs:
            results._is_settled(deadline - time.monotonic())
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()

    def _add_worker(self) -> None:
        self._threads.submit(self._work).add_done_callback(self._worker_ended)

    def _worker_ended(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            log.error("a command on a host", exc_info=error)
            with contextlib.suppress(RuntimeError):  # after close
                self._add_worker()

    def _work(self) -> None:
        """In a worker thread: host after host, of whose turn it is, until none waits."""
        while (next_one := self._next()) is not None:
            results, remote = next_one
            result = Result(remote.host, error="internal error; the bot's log has it")
            try:
                result = remote.run(self._pool)
            finally:
                with self._lock:
                    results._running -= 1
                    if not results._running and not results._waiting:
                        self._open.discard(results)
                results._put(result)

    def _next(self) -> tuple[Results, Remote] | None:
        with self._lock:
            for _ in range(len(self._turns)):
                results = self._turns.popleft()
                if results._running < self._ssh.fanout:
                    results._running += 1
                    remote = results._waiting.popleft()
                    if results._waiting:
                        self._turns.append(results)
                    return results, remote
                self._turns.append(results)
        return None


def _hosts(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} hosts"


def _paragraph(hosts: str, text: str) -> str:
    first, *more = text.split("\n")
    if not more:
        return f"{hosts}: {first or 'ok'}"
    return "\n  ".join((f"{hosts}:", first, *more))
