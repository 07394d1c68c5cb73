"""Many hosts at once: results as they come, equal answers folded, fair between several at a time."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypedDict, Unpack

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

from ircops.call import Result, Stop
from ircops.config import Ssh
from ircops.errors import OpsError
from ircops.ssh.detach import FORGET, Away, Detached, Forget, Word
from ircops.ssh.kill import TIME as KILL_TIME
from ircops.ssh.kill import with_environment
from ircops.ssh.nodes import MOST_HOSTS
from ircops.ssh.pool import Pool
from ircops.ssh.quoting import quoted
from ircops.ssh.remote import Command, Remote
from ircops.ssh.results import Results, Work
from ircops.ssh.spool import Spool
from ircops.ssh.steps import Body, Steps
from ircops.ssh.waves import Waves

log = logging.getLogger(__name__)

PATIENT = 4  # times `fanout` hosts are followed at once that run something detached
STEPS = 6  # of connect_timeout each: dial, handshake, log in, a session; twice if an old connection was dead


class Going(TypedDict, total=False):
    """How a run goes over its hosts; amounts are numbers or `10%` of the hosts."""

    serial: bool  # one after the other
    batch: int | str | None  # so many at a time: the next begin when all of these have ended
    max_failures: int | str | None  # after so many no more begin
    stop: Stop | None  # asks for the end
    tell: Callable[[str], None] | None  # hears now and then how far it is
    missing: Callable[[str], None] | None  # hears when the first detached host is out of reach


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

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pool)

    def run(
        self,
        command: str | list[str],
        hosts: Any,
        *,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        fast: bool = False,
        pty: bool = False,
        detach: Word | None = None,
        note: str = "",
        spool: Spool | None = None,
        **going: Unpack[Going],
    ) -> Results:
        """Start `command` on `hosts` (a NodeSet, names, or text like `@web`) and give the Results to come.

        A list is quoted before it meets the remote shell; a string is a shell line that the author wrote.
        `timeout` is seconds for each host from its start there (None: command_timeout; 0: none); the whole
        run ends, stuck or not, after that and the time to connect for each `fanout` of hosts. What is stopped
        or overruns its time is killed there, with all its children, and looked for until it is seen gone.

        `fast` is for short lines of POSIX sh that only look and may run twice: a resident shell on each host runs
        them, where it has one; newlines at the end of their output become one, NUL bytes are dropped. `pty` gives it
        a terminal. What is to `detach` is found again by its word, should we end, and has no time limit of itself. The
        host's own log gets `note`; what is more than a Result holds goes to `spool`. Raises OpsError for no hosts or
        more than MOST_HOSTS, for text that does not resolve, and after `close`.
        """
        if timeout is None:
            timeout = 0.0 if detach else self._ssh.command_timeout
        line = command if isinstance(command, str) else quoted(command)
        with_environment(
            "", environment or {}
        )  # a wrong name is the caller's mistake, not the hosts'
        what = Command(line, stdin, timeout, dict(environment or {}), fast, pty, note, spool)
        if detach is None:
            return self._start(hosts, lambda host: Remote(host, what), timeout, going)
        away = Away(going.get("missing"))
        make = partial(Detached, command=what, word=detach, tell=away)
        results = self._patient._start(hosts, make, 0, going)
        results.away = away.hosts
        return results

    def forget(self, word: Word, hosts: Any) -> Results:
        """Throw away what the hosts keep of a detached run that has ended."""
        return self._start(hosts, lambda host: Forget(host, word), FORGET, {})

    def each(
        self,
        body: Body,
        hosts: Any,
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        detach: Word | None = None,
        note: str = "",
        spool: Spool | None = None,
        **going: Unpack[Going],
    ) -> Results:
        """Call `body` with a `Steps` for each of `hosts`, in threads, and give the Results to come.

        What it returns is the host's Result; it has `timeout` seconds. The rest is as of `run`, but only a step that
        asks for it is detached.
        """
        what = Command(
            "", timeout=timeout, environment=dict(environment or {}), note=note, spool=spool
        )
        away = Away(going.get("missing"))
        detached = partial(Detached, word=detach, tell=away) if detach else None
        them = self._patient if detach else self
        results = them._start(hosts, lambda host: Steps(host, body, what, detached), timeout, going)
        results.away = away.hosts
        return results

    @cached_property
    def _patient(self) -> Fanout:
        """For what is detached: it may take days, so its threads are none of ours, and more."""
        return Fanout(self._pool, replace(self._ssh, fanout=PATIENT * self._ssh.fanout))

    def _start(
        self, hosts: Any, make: Callable[[str], Work], timeout: float, going: Going
    ) -> Results:
        names = self._pool.inventory.resolve(hosts) if isinstance(hosts, str) else hosts
        if isinstance(names, NodeSet):  # to read 200 names once more would cost 7 ms
            nodes = NodeSet(names, resolver=RESOLVER_NOGROUP)
        else:
            nodes = NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)
        if not 0 < len(nodes) <= MOST_HOSTS:
            raise OpsError(f"{len(nodes)} hosts, where 1 to {MOST_HOSTS} will do")
        self._pool.make_room(nodes)
        waves = Waves.over(
            len(nodes), going.get("serial", False), going.get("batch"), going.get("max_failures")
        )
        turns = math.ceil(len(nodes) / waves.size) * math.ceil(waves.size / self._ssh.fanout)
        seconds = turns * (timeout + STEPS * self._ssh.connect_timeout) if timeout else None
        results = Results(nodes, map(make, nodes), seconds, waves, going.get("tell"))
        with self._lock:
            if self._is_closed:
                raise OpsError("the bot is stopping")
            self._turns.append(results)
            self._open.add(results)
            for _ in range(min(waves.size, self._ssh.fanout)):
                self._add_worker()
        if stop := going.get("stop"):
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
        if "_patient" in vars(self):
            self._patient.close()
        self._pool.close()

    def _add_worker(self) -> None:
        with contextlib.suppress(RuntimeError):  # after close
            self._threads.submit(self._work).add_done_callback(self._worker_ended)

    def _worker_ended(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            log.error("a command on a host", exc_info=error)
            self._add_worker()

    def _work(self) -> None:
        """In a worker thread: host after host, of whose turn it is, until none waits."""
        while (next_one := self._next()) is not None:
            results, work = next_one
            result = Result(work.host, error="internal error; the bot's log has it")
            try:
                result = work.run(self._pool)
            finally:
                results._put(result)
                self._go_on(results)

    def _next(self) -> tuple[Results, Work] | None:
        with self._lock:
            for _ in range(len(self._turns)):
                results = self._turns.popleft()
                work = results._take() if results._running < self._ssh.fanout else None
                if results._waiting:
                    self._turns.append(results)
                if work is not None:
                    return results, work
        return None

    def _go_on(self, results: Results) -> None:
        """One of its hosts is done: begin the next wave, or none any more."""
        with self._lock:
            given_up = results._give_up()
            begin = results._next_wave()
            if not results._waiting:
                with contextlib.suppress(ValueError):
                    self._turns.remove(results)
                if not results._running:
                    self._open.discard(results)
        for _ in range(min(begin, self._ssh.fanout)):
            self._add_worker()
        why = f"{results.failures} of {len(results)} failed" if given_up else ""
        for work in given_up:
            if result := work.stop(why):
                results._put(result)
