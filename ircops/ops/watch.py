"""What is watched all the time: rounds over the whole fleet by the fast path, of which only changes are said.

A round is no call: it only looks, it writes no row, and one thread a watch does it. What a watch says of it goes on the
record as news (`alert`). The loop owns the watches; a round that is cut short, by a reload or the end, counts for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ircops.call import Kind, Outlet, Result, Stop
from ircops.config import Health as Limits
from ircops.config import Watch
from ircops.errors import OpsError, sentence
from ircops.ops.alarms import Alarms, State, lines
from ircops.ops.checks import Checks
from ircops.ops.health import Condition, Fault, Rates, count
from ircops.ops.inspection import joined
from ircops.ops.plugins import Outcome
from ircops.ops.probe import WATCHED

if TYPE_CHECKING:
    from ircops.ops import Parts
    from ircops.store.database import Database

log = logging.getLogger(__name__)

ANSWERED = 20.0  # seconds that a host has for the probe
STORED = timedelta(seconds=55)  # between samples of a watch: a minute is the finest step there is
CHUNK = 1000  # values in one transaction: some ten milliseconds that the record waits
LEAST = 0.1  # seconds between rounds that take longer than they should
PATIENCE = 5.0  # seconds that a round has to end
DEAD = 900.0  # seconds beyond its time that a round may take: 500 hosts that hang, 64 at once
COLOURS = {State.RAISED: "red", State.FLAPPING: "yellow", State.OK: "green"}


class Round:
    """The rounds of one watch, and what they have found so far. `look` is for one thread at a time."""

    def __init__(
        self, name: str, watch: Watch, parts: Parts, alarms: Alarms, now: Callable[[], datetime]
    ) -> None:
        self._watch, self._parts, self._alarms, self._now = watch, parts, alarms, now
        self._memory = Memory(name, parts.database)
        self._checks = Checks(parts.settings.checks, parts.inventory)
        self._rates = Rates()
        self._stored_at: datetime | None = None
        self._outcomes: dict[str, list[Outcome]] = {}  # the last of each check
        self._due: dict[str, float] = {}  # when it is to be run again, by time.monotonic
        self._stop, self._over = Stop(), threading.Event()

    def end(self) -> None:
        """Cut short what is under way, and begin no more. Any thread."""
        self._over.set()
        self._stop.ask("the watch ends")

    def look(self) -> None:
        """One round over all hosts. Blocks; OpsError says why there was none."""
        self._stop = Stop()  # one for each: it keeps all that it has to stop
        if self._over.is_set():
            return
        if not self._alarms.is_recalled:
            self._alarms.recall(self._memory.read())
        self._parts.maintenance.open()  # read here; who asks it on the loop must not wait
        inventory = self._parts.inventory
        hosts = (
            inventory.all if self._watch.hosts == "@all" else inventory.resolve(self._watch.hosts)
        )
        limits = self._parts.health.limits(hosts)
        conditions: list[Condition] = []
        if "health" in self._watch.checks and len(hosts):
            for result in self._run(["sh", "-c", WATCHED], hosts, fast=True, timeout=ANSWERED):
                raised = self._alarms.raised(result.host)
                ended = self._now().timestamp()
                limit = limits[result.host]
                look = self._parts.health.look
                conditions.append(look(result, ended, limit, raised, self._rates))
        else:
            conditions += map(Condition, hosts)
        conditions = joined(conditions, self._checked(hosts))
        if self._over.is_set():  # what was cut short is no trouble of the hosts
            return
        self._alarms.take(conditions, self._now(), self._lasts(limits))
        self._store(conditions)

    def keep(self) -> None:
        """Have the next bot know what was told. Blocks."""
        self._memory.write(self._alarms.kept())

    def _checked(self, hosts: Any) -> list[Outcome]:
        """What the checks come to; of those that are not due yet, what they came to last."""
        now = time.monotonic()
        names = [name for name in self._watch.checks if name != "health"]
        due = [name for name in names if now >= self._due.get(name, now)]
        found = self._checks.run(due, hosts, self._run)
        for name in due:
            self._outcomes[name] = [outcome for outcome in found if outcome.check == name]
            self._due[name] = now + self._parts.settings.checks[name].every
        return [outcome for name in names for outcome in self._outcomes.get(name, [])]

    def _run(self, command: str | list[str], hosts: Any, **options: Any) -> Iterable[Result]:
        return self._parts.fanout.run(command, hosts, stop=self._stop, **options)

    def _lasts(self, limits: dict[str, Limits]) -> Callable[[str, Fault], float]:
        checks = self._parts.settings.checks

        def lasts(host: str, fault: Fault) -> float:
            kind, _, name = fault.key.partition(":")
            if kind == "check" and name in checks:
                return checks[name].lasts
            return limits[host].lasts if host in limits else 0

        return lasts

    def _store(self, conditions: list[Condition]) -> None:
        now = self._now()
        if self._stored_at is not None and now - self._stored_at < STORED:
            return
        self._stored_at = now
        values = [(one.host, *measured) for one in conditions for measured in one.values]
        for first in range(0, len(values), CHUNK):
            self._parts.samples.add(now, values[first : first + CHUNK])


class Memory:
    """What a watch knows, in the database."""

    def __init__(self, name: str, database: Database) -> None:
        self._name, self._database = name, database

    def read(self) -> str:
        with self._database.append() as connection:
            rows = connection.execute("SELECT body FROM watches WHERE name = ?", (self._name,))
            return next((str(body) for (body,) in rows.fetchall()), "[]")

    def write(self, body: str) -> None:
        with self._database.append() as connection:
            connection.execute("DELETE FROM watches WHERE name = ?", (self._name,))
            row = (self._name, body)
            connection.execute("INSERT INTO watches (name, body) VALUES (?, ?)", row)


class Watches:
    """All [watch …] sections, between `start` and `stop`. On the loop."""

    def __init__(
        self,
        parts: Callable[[], Parts],
        outlet: Callable[[tuple[str, ...]], Outlet],
        is_quiet: Callable[[str], bool] = lambda place: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outlet` gives the way to channels, `is_quiet` says whether one has its quiet hours."""
        self._parts, self._outlet, self._is_quiet, self._now = parts, outlet, is_quiet, now
        self._alarms: dict[str, Alarms] = {}
        self._rounds: list[Round] = []
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._beats: dict[str, float] = {}  # when the next round must have been, at last
        self._told: dict[str, str] = {}  # the last fault of each watch that the log has
        self._ending = asyncio.Event()
        self._ending.set()

    def start(self) -> None:
        """Begin the rounds; what was raised before a reload is known still."""
        parts = self._parts()
        watches = parts.settings.watches
        self._ending.clear()
        self._alarms = {name: self._alarms.get(name, Alarms()) for name in watches}
        for name, watch in watches.items():
            one = Round(name, watch, parts, self._alarms[name], self._now)
            self._rounds.append(one)
            self._beats[name] = time.monotonic() + watch.every + DEAD
            self._tasks[asyncio.create_task(self._watch(name, watch, one))] = name

    async def stop(self) -> None:
        """End them, and wait until no round runs any more, or is stuck."""
        self._ending.set()
        for one in self._rounds:
            one.end()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in stuck:
                task.cancel()
        self._rounds.clear()
        self._tasks.clear()
        self._beats.clear()

    async def reload(self) -> None:
        """Take the sections as they are now, and the connections of now."""
        await self.stop()
        self.start()

    @property
    def why_not_alive(self) -> list[str]:
        """A sentence for each watch that has stopped or hangs."""
        now = time.monotonic()
        dead = {name for task, name in self._tasks.items() if task.done()}
        dead |= {name for name, beat in self._beats.items() if now > beat}
        return [f"watch {name} does not look any more" for name in sorted(dead)]

    async def _watch(self, name: str, watch: Watch, one: Round) -> None:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, f"watch {name}")
        try:
            while not self._ending.is_set():
                began = loop.time()
                await self._look(name, watch, one, thread)
                self._beats[name] = time.monotonic() + watch.every + DEAD
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(max(began + watch.every, loop.time() + LEAST)):
                        await self._ending.wait()
        finally:
            thread.shutdown(wait=False)

    async def _look(self, name: str, watch: Watch, one: Round, thread: ThreadPoolExecutor) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(thread, one.look)
            if not self._ending.is_set() and await self._tell(watch, self._alarms[name]):
                await asyncio.get_running_loop().run_in_executor(thread, one.keep)
            fault = ""
        except OpsError as error:
            fault = sentence(error)
        except Exception as error:  # a bug met in one watch ends neither it nor the others
            fault = repr(error)
            if fault != self._told.get(name):
                log.exception("watch %s", name)
        if fault != self._told.get(name, ""):  # once, not each round
            log.log(
                logging.ERROR if fault else logging.INFO, "watch %s: %s", name, fault or "goes on"
            )
        self._told[name] = fault

    async def _tell(self, watch: Watch, alarms: Alarms) -> bool:
        """Say in each channel what it has not been told, and put it on the record; whether there was anything."""
        parts = self._parts()
        recorded: dict[str, str] = {}
        for place in watch.into:
            channel = parts.settings.channel(place.rpartition("/")[2])
            is_quiet = self._is_quiet(place)
            news = alarms.news(
                place,
                is_quiet=is_quiet,
                only_problems=channel.verbosity == "problems",
                is_silent=parts.maintenance.silenced,
            )
            said = [click.style(line, fg=COLOURS[state]) for line, state in lines(news)]
            if not is_quiet and (passed := alarms.passed(place)):
                said.append(f"{count(passed, 'fault')} came and went in the quiet hours")
            if said:
                outlet = self._outlet((place,))
                for line in said:
                    outlet.write(Kind.REPORT, line)
                outlet.finish()
            recorded |= {click.unstyle(line): place for line in said}
        for line, place in recorded.items():
            hosts, is_said_of, _ = line.partition(": ")
            about = {"hosts": hosts} if is_said_of else {}
            await parts.record.note("alert", line=line, channel=place, **about)
        return bool(recorded)
