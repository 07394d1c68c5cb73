"""A command in a worker thread: its words parsed, its body run, its time limited, its end certain."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click
from click.exceptions import Exit

from ircops.catalog import links_of
from ircops.errors import Stopped
from ircops.jobs import Job
from ircops.plan import Plan
from ircops.policy import Policy
from ircops.terminal import Terminal, attached
from ircops.workers import Work, Workers

FLEET = 64  # threads for commands that reach hosts; enough for a whole team's slow ones
DESK = 16  # threads for the rest: `!ping` and `!kill` answer while every fleet thread is busy
PATIENCE = 5.0  # seconds a body has to end after it was asked to
SOON = 0.1  # seconds between looks at what runs
QUIET = 10.0  # seconds of silence before the first "still working"; then twice as long each time


class Outcome(NamedTuple):
    """How a body ended that was not stopped and did not raise."""

    exit_code: int
    seconds: float
    lines: int
    digest: str  # SHA-256 of the output, hex

    @property
    def text(self) -> str:
        return "ok" if self.exit_code == 0 else f"exit {self.exit_code}"


class Prepared(NamedTuple):
    """A command with its arguments."""

    context: click.Context
    policy: Policy
    plan: Plan | None  # None: it may run at once; it asks nobody, holds no lock and reaches no host
    is_dry: bool = False  # the plan is all that is asked for


class Runner:
    """The worker threads, and an eye on what runs in them. `patience` and `quiet` in seconds. On the loop."""

    def __init__(self, patience: float = PATIENCE, quiet: float = QUIET) -> None:
        self._patience = patience
        self._quiet = quiet
        self._is_closed = False
        self._fleet = Workers("fleet", FLEET, patience=0)
        self._desk = Workers("desk", DESK)
        self._bodies: set[_Body] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def prepare(
        self,
        job: Job,
        make: Callable[[], Prepared],
        begin: Callable[[], None],
        start: Callable[[], None],
    ) -> tuple[Prepared, Outcome | None]:
        """Parse a call's words with `make` in a thread (types may read files, options may prompt); if the
        body is then free to run, run it in a thread too, without a look at the loop between them.

        `begin` is called once it is known that it will run, `start` before the body, and what all of those
        that begun lately wait for is waited for once. Raises what click raises, also Exit where `--help` has
        said it all, and what `run` raises.
        """

        def work(body: _Body) -> Any:
            with attached(Terminal(job.call)):
                prepared = make()
            if prepared.plan is not None:
                return prepared, None
            begin()
            return lambda: (prepared, body.run(prepared, start))

        prepared: tuple[Prepared, Outcome | None] = await self._in_thread(self._desk, job, work)
        return prepared

    async def run(
        self, prepared: Prepared, job: Job, reaches_hosts: bool, start: Callable[[], None]
    ) -> Outcome:
        """Run the body. Raises Stopped when it was killed, timed out or aborted, ClickException as the body raised it."""
        workers = self._fleet if reaches_hosts else self._desk
        outcome: Outcome = await self._in_thread(
            workers, job, lambda body: body.run(prepared, start)
        )
        return outcome

    def close(self) -> None:
        """Take no more work; threads that still run end with the process."""
        self._is_closed = True

    async def _in_thread(self, workers: Workers, job: Job, work: Callable[[_Body], Any]) -> Any:
        """Wait for what `work` gives, in one of the threads, but not for long after the call was asked to stop.

        If that is a function, it is what is left to do, and gives the value.
        """
        if self._is_closed:
            raise Stopped("the bot is stopping")
        call, loop = job.call, asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()
        body = _Body(job, self._quiet)

        def in_thread(work: Callable[[], Any]) -> Work | None:
            try:
                value = work()
            except (StopIteration, SystemExit, KeyboardInterrupt) as error:
                # no future takes the first, and the others would end the bot
                fault = RuntimeError(f"{type(error).__name__} in the command")
                fault.__cause__ = error
                call.reply.on_loop(_settle, ended, ended.set_exception, fault)
            except BaseException as error:  # whatever it is, it is for whoever waits
                call.reply.on_loop(_settle, ended, ended.set_exception, error)
            else:
                if callable(value):
                    return partial(in_thread, value)
                call.reply.on_loop(_settle, ended, ended.set_result, value)
            return None

        def give_up() -> None:
            late = Stopped(f"{call.stop.reason}; its thread has not ended yet")
            _settle(ended, ended.set_exception, late)

        call.stop.on_ask(
            lambda reason: loop.call_soon_threadsafe(loop.call_later, self._patience, give_up)
        )
        self._bodies.add(body)
        if self._timer is None:
            self._timer = loop.call_later(SOON, self._look)
        workers.submit(partial(in_thread, partial(work, body)))
        try:
            return await ended
        except click.Abort:
            raise Stopped(call.stop.reason or "aborted") from None
        finally:
            self._bodies.discard(body)
            call.reply.is_working = False

    def _look(self) -> None:
        """Look after what runs, again and again as long as anything does."""
        now = time.monotonic()
        for body in list(self._bodies):
            body.look(now)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SOON, self._look) if self._bodies else None


def _settle(ended: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    """Nobody waits any more for what was left behind."""
    if not ended.done():
        settle(value)


class _Body:
    """A command's body: it runs in a thread, and is looked after from the loop meanwhile."""

    def __init__(self, job: Job, quiet: float) -> None:
        self._job = job
        self._quiet = quiet  # seconds until the next "still working"
        self._began = self._ends = self._say_at = math.inf  # by time.monotonic()

    def run(self, prepared: Prepared, start: Callable[[], None]) -> Outcome:
        """Run it, in a worker thread."""
        job, call = self._job, self._job.call
        call.stop.check()  # who was told that it is over must not see it begin
        start()
        self._began = began = time.monotonic()
        self._say_at = began + self._quiet
        self._ends = began + (prepared.policy.timeout or math.inf)
        job.state, call.reply.is_working = "running", True
        terminal = Terminal(call, job.file, job.head, job.clean)
        with attached(terminal):
            exit_code = _invoke(prepared.context)
        # it ended early, and has said what became of its hosts
        if exit_code and call.stop.is_asked:
            raise Stopped(call.stop.reason)
        return Outcome(exit_code, time.monotonic() - began, terminal.lines, terminal.digest)

    def look(self, now: float) -> None:
        """End it when its time is over; after a while of silence say that work goes on, then ever more rarely."""
        if now >= self._ends:
            self._job.call.stop.ask(f"timed out after {self._ends - self._began:g} s")
        elif now >= self._say_at:
            self._say_still_working(now)

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
        _invoke_all(links_of(context))
    except Exit as end:
        return end.exit_code
    except SystemExit as end:  # Python's own way to say it: a number, a sentence, or nothing
        if isinstance(end.code, str):
            click.echo(end.code)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _invoke_all(links: list[click.Context]) -> None:
    link, *inner = links
    with link:  # what it opened (click.File and the like) is closed when what is inside has ended
        if link.command.callback is not None:
            link.invoke(link.command.callback, **link.params)
        if inner:
            _invoke_all(inner)
