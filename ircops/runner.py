"""A command in a worker thread: its words parsed, its body run, its time limited, its end certain."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import click
from click.exceptions import Exit

from ircops.errors import Stopped
from ircops.jobs import Job
from ircops.policy import Policy
from ircops.terminal import Terminal, attached

T = TypeVar("T")

FLEET = 64  # threads for commands that reach hosts; enough for a whole team's slow ones
DESK = 16  # threads for the rest: `!ping` and `!kill` answer while every fleet thread is busy
PATIENCE = 5.0  # seconds a body has to end after it was asked to
SOON = 0.1  # seconds between looks whether a body has begun
QUIET = 10.0  # seconds of silence before the first "still working"; then twice as long each time


@dataclass(frozen=True)
class Outcome:
    """How a body ended that was not stopped and did not raise."""

    exit_code: int
    seconds: float
    lines: int
    digest: str  # SHA-256 of the output, hex

    @property
    def text(self) -> str:
        return "ok" if self.exit_code == 0 else f"exit {self.exit_code}"


@dataclass(frozen=True)
class Prepared:
    """A command with its arguments."""

    context: click.Context
    policy: Policy
    is_free: bool  # to run at once: nobody has to be asked, it holds no lock and reaches no host


class Runner:
    """The worker threads. `patience` and `quiet` in seconds."""

    def __init__(self, patience: float = PATIENCE, quiet: float = QUIET) -> None:
        self._patience = patience
        self._quiet = quiet
        self._is_closed = False
        self._fleet = ThreadPoolExecutor(FLEET, thread_name_prefix="fleet")
        self._desk = ThreadPoolExecutor(DESK, thread_name_prefix="desk")

    async def prepare(
        self, job: Job, make: Callable[[], Prepared], start: Callable[[], None]
    ) -> tuple[Prepared, Outcome | None]:
        """Parse a call's words with `make` in a thread (types may read files, options may prompt); if the
        body is then free to run, run it in the same thread, for a change of threads costs as much as a quick body.

        `start` is called before the body. Raises what click raises, also Exit where `--help` has said it
        all, and what `run` raises.
        """
        call = job.call

        def work(body: _Body) -> tuple[Prepared, Outcome | None]:
            with attached(Terminal(call, None)):
                prepared = make()
            return prepared, body.run(prepared, start) if prepared.is_free else None

        return await self._in_thread(self._desk, job, work)

    async def run(
        self, prepared: Prepared, job: Job, reaches_hosts: bool, start: Callable[[], None]
    ) -> Outcome:
        """Run the body. Raises Stopped when it was killed, timed out or aborted, ClickException as the body raised it."""
        pool = self._fleet if reaches_hosts else self._desk
        return await self._in_thread(pool, job, lambda body: body.run(prepared, start))

    def close(self) -> None:
        """Take no more work; threads that still run end with the process."""
        self._is_closed = True
        for pool in (self._fleet, self._desk):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, pool: ThreadPoolExecutor, job: Job, work: Callable[[_Body], T]) -> T:
        """Wait for `work` in `pool`, but not for long after the call was asked to stop."""
        if self._is_closed:
            raise Stopped("the bot is stopping")
        call, loop = job.call, asyncio.get_running_loop()
        stopped = loop.create_future()  # by itself, or asked to

        def stop(_: object) -> None:
            if not stopped.done():
                stopped.set_result(None)

        call.stop.on_ask(lambda reason: loop.call_soon_threadsafe(stop, reason))
        body = _Body(job, self._quiet, loop)
        done = loop.run_in_executor(pool, contextvars.copy_context().run, work, body)
        done.add_done_callback(stop)
        try:
            await stopped
            if not done.done():
                await asyncio.wait({done}, timeout=self._patience)
            if not done.done():
                done.add_done_callback(lambda late: late.cancelled() or late.exception())
                raise Stopped(f"{call.stop.reason}; its thread has not ended yet")
            return await done
        except click.Abort:
            raise Stopped(call.stop.reason or "aborted") from None
        finally:
            body.leave()


class _Body:
    """A command's body: it runs in a thread, and is looked after from the loop meanwhile."""

    def __init__(self, job: Job, quiet: float, loop: asyncio.AbstractEventLoop) -> None:
        self._job, self._loop = job, loop
        self._quiet = quiet  # seconds until the next "still working"
        self._began = self._ends = math.inf  # by time.monotonic(); the end is its timeout's
        self._say_at = time.monotonic() + quiet
        self._timer = loop.call_later(min(quiet, SOON), self._look)

    def run(self, prepared: Prepared, start: Callable[[], None]) -> Outcome:
        """Run it, in a worker thread."""
        job, call = self._job, self._job.call
        call.stop.check()  # who was told that it is over must not see it begin
        start()
        self._began = began = time.monotonic()
        self._say_at = began + self._quiet
        self._ends = began + (prepared.policy.timeout or math.inf)
        job.state, call.reply.is_working = "running", True
        terminal = Terminal(call, job.output, job.head)
        with attached(terminal):
            exit_code = _invoke(prepared.context)
        # it ended early, and has said what became of its hosts
        if exit_code and call.stop.is_asked:
            raise Stopped(call.stop.reason)
        return Outcome(exit_code, time.monotonic() - began, terminal.lines, terminal.digest)

    def leave(self) -> None:
        """It has ended, or is left behind."""
        self._job.call.reply.is_working = False
        self._timer.cancel()

    def _look(self) -> None:
        """End it when its time is over; after a while of silence say that work goes on, then ever more rarely."""
        now = time.monotonic()
        if now >= self._ends:
            self._job.call.stop.ask(f"timed out after {self._ends - self._began:g} s")
            return
        if self._began < math.inf and now >= self._say_at:
            self._say_still_working(now)
        due = min(self._ends, self._say_at) if self._began < math.inf else now + SOON
        self._timer = self._loop.call_later(due - now, self._look)

    def _say_still_working(self, now: float) -> None:
        job = self._job
        self._say_at = now + self._quiet
        if now - job.call.reply.spoke_at < self._quiet or job.call.reply.is_asking:
            return
        job.call.reply.progress(
            f"job {job.number} is still working ({now - self._began:.0f} s); !kill {job.number} stops it"
        )
        self._quiet *= 2
        self._say_at = now + self._quiet


def _invoke(context: click.Context) -> int:
    """Run the bodies of a parsed chain of contexts, groups first, as click would; give the exit code."""
    try:
        with _entered(context):
            for link in _chain(context):
                if link.command.callback is not None:
                    with link.scope(cleanup=False):
                        link.invoke(link.command.callback, **link.params)
    except Exit as end:
        return end.exit_code
    return 0


def _chain(context: click.Context) -> list[click.Context]:
    """From the outermost group that has a body, in to `context`."""
    links = [context]
    while links[0].parent is not None:
        links.insert(0, links[0].parent)
    return links


@contextmanager
def _entered(context: click.Context) -> Iterator[None]:
    """Close what the contexts opened (click.File and the like) when the bodies are done."""
    with ExitStack() as stack:
        for link in _chain(context):
            stack.callback(link.close)
        yield
