"""A command in a worker thread: its words parsed, its body run, its time limited, its end certain."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import click
from click.exceptions import Exit

from ircops.call import Call
from ircops.errors import Stopped
from ircops.jobs import Job
from ircops.terminal import Terminal, attached

T = TypeVar("T")

FLEET = 64  # threads for commands that reach hosts; enough for a whole team's slow ones
DESK = 16  # threads for the rest: `!ping` and `!kill` answer while every fleet thread is busy
PATIENCE = 5.0  # seconds a body has to end after it was asked to
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


class Runner:
    """The worker threads. `patience` and `quiet` in seconds."""

    def __init__(self, patience: float = PATIENCE, quiet: float = QUIET) -> None:
        self._patience = patience
        self._quiet = quiet
        self._fleet = ThreadPoolExecutor(FLEET, thread_name_prefix="fleet")
        self._desk = ThreadPoolExecutor(DESK, thread_name_prefix="desk")

    async def parse(self, make: Callable[[], click.Context], call: Call) -> click.Context:
        """Run `make`, which parses a call's words, in a thread: types may read files, options may prompt.

        Raises what click raises, also Exit where `--help` has said it all.
        """
        return await self._in_thread(self._desk, call, Terminal(call, None), make)

    async def run(
        self, context: click.Context, job: Job, timeout: float, reaches_hosts: bool
    ) -> Outcome:
        """Run the body of `context`; `timeout` in seconds, 0 for none.

        Raises Stopped when it was killed, timed out or aborted, ClickException as the body raised it.
        """
        call = job.call
        terminal = Terminal(call, job.output)
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        with ExitStack() as timers:
            if timeout:
                alarm = loop.call_later(timeout, call.stop.ask, f"timed out after {timeout:g} s")
                timers.callback(alarm.cancel)
            still = asyncio.create_task(_say_still_working(job, began, self._quiet))
            timers.callback(still.cancel)
            pool = self._fleet if reaches_hosts else self._desk

            def work() -> int:
                loop.call_soon_threadsafe(setattr, job, "state", "running")
                return _invoke(context)

            exit_code = await self._in_thread(pool, call, terminal, work)
        return Outcome(exit_code, time.monotonic() - began, terminal.lines, terminal.digest)

    def close(self) -> None:
        """Take no more work; threads that still run end with the process."""
        for pool in (self._fleet, self._desk):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, call: Call, terminal: Terminal, work: Callable[[], T]
    ) -> T:
        """Wait for `work` in `pool`, but not for long after the call was asked to stop."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()  # by itself, or asked to
        call.stop.on_ask(lambda reason: loop.call_soon_threadsafe(stopped.set))

        def body() -> T:
            with attached(terminal):
                return work()

        done = loop.run_in_executor(pool, contextvars.copy_context().run, body)
        done.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        if not done.done():
            await asyncio.wait({done}, timeout=self._patience)
        if not done.done():
            done.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise Stopped(f"{call.stop.reason}; its thread has not ended yet")
        try:
            return await done
        except click.Abort:
            raise Stopped(call.stop.reason or "aborted") from None


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


async def _say_still_working(job: Job, began: float, wait: float) -> None:
    """After `wait` seconds of silence say that work goes on, then ever more rarely."""
    while True:
        await asyncio.sleep(wait)
        if time.monotonic() - job.call.reply.spoke_at < wait or job.call.reply.is_asking:
            continue
        job.call.reply.progress(
            f"job {job.number} is still working ({time.monotonic() - began:.0f} s); !kill {job.number} stops it"
        )
        wait *= 2
