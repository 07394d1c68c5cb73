"""Commands that run by the clock: [schedule …] sections become calls like anybody's.

What is due follows from two things: the cron line, and the moment up to which we have looked. So one rule
covers a run on time, a late one (the machine slept, its clock was set) and one missed because the bot
was down, and nothing runs twice. All on the loop; the database is reached in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ircops.call import Call, Kind, Outlet, Reply, Sender
from ircops.config import Schedule
from ircops.errors import OpsError
from ircops.shapes import did_you_mean
from ircops.store.database import Database
from ircops.store.times import moment, stamp

if TYPE_CHECKING:
    from ircops.clock import Clock
    from ircops.cron import Cron

log = logging.getLogger(__name__)

DEAD = 20.0  # seconds without a look at the clock
LATE = timedelta(seconds=60)  # a run that comes later is worth a word
HELD_UP = "bot was held up"  # why a run is late, unless more is known
NOTE = 60  # seconds between notes in the database of up to when we have looked

_STATE = ("seen_at", "last_run_at", "paused_by")  # columns


@dataclass(frozen=True)
class Planned:
    """A schedule as it stands, for people to see."""

    name: str
    at: str
    timezone: str
    line: str
    into: tuple[str, ...]
    next_run: datetime | None  # None: paused; in its time zone, as is last_run
    last_run: datetime | None
    paused_by: str  # "" = not paused
    is_running: bool


@dataclass
class _Plan:
    name: str
    settings: Schedule
    cron: Cron
    seen: datetime  # what fell due until then is dealt with
    last_run: datetime | None = None
    paused_by: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self.task is not None and not self.task.done()

    def clock(self, at: datetime, today: datetime) -> str:
        """A time as a person reads it, with its day if that is not today's."""
        local = at.astimezone(self.cron.zone)
        is_today = local.date() == today.astimezone(self.cron.zone).date()
        return f"{local:%H:%M}" if is_today else f"{local:%Y-%m-%d %H:%M}"

    def shown(self, now: datetime) -> Planned:
        zone = self.cron.zone
        return Planned(
            name=self.name,
            at=self.settings.at,
            timezone=self.settings.timezone,
            line=self.settings.run,
            into=self.settings.into,
            next_run=None if self.paused_by else self.cron.after(now).astimezone(zone),
            last_run=self.last_run and self.last_run.astimezone(zone),
            paused_by=self.paused_by,
            is_running=self.is_running,
        )


class Scheduler:
    """The schedules and their state; runs them between `start` and `stop`."""

    def __init__(
        self,
        schedules: Mapping[str, Schedule],
        handle: Callable[[Call], Awaitable[object]],
        outlet: Callable[[tuple[str, ...]], Outlet],
        database: Database,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outlet` gives the way to a schedule's channels. Raises OpsError for a line that is no cron line."""
        self._handle = handle
        self._outlet = outlet
        self._database = database
        self._now = now
        self._plans = self._planned(schedules)
        self._is_running = False
        self._clock: Clock | None = (
            None  # while there was never a schedule there is none to look at
        )

    async def load(self) -> None:
        """Read what is known from before: pauses, last runs. `start` does so too."""
        known = await self._known(self._plans)
        for plan in self._plans.values():
            _recall(plan, known)

    async def start(self) -> None:
        """Deal with what was missed while the bot was down, then wait for what comes."""
        await self.load()
        await self._look_at_all("bot was down")
        self._is_running = True
        self._wait()

    async def stop(self) -> None:
        """Start nothing more; a run that goes on ends in its own time."""
        if not self._is_running:
            return
        self._is_running = False
        if self._clock is not None:
            self._clock.shutdown(wait=False)
            await asyncio.sleep(0)  # it shuts down in the loop's next turn
        now = self._now()
        if not any(plan.cron.last(plan.seen, now) for plan in self._plans.values()):
            await self._note(now)  # else the next start finds what fell due at this moment

    @property
    def is_alive(self) -> bool:
        """It has looked at the clock lately."""
        is_ticking = self._clock is None or time.monotonic() - self._clock.looked_at < DEAD
        return self._is_running and is_ticking

    async def reload(self, schedules: Mapping[str, Schedule]) -> None:
        """Take these schedules instead, at once; OpsError, and all stays, if one is no cron line."""
        plans = self._planned(schedules)
        known = await self._known(plans)
        for plan in self._plans.values():  # until this moment the old lines held
            self._look(plan)
        for name, plan in plans.items():
            if before := self._plans.get(name):
                plan.seen, plan.last_run = before.seen, before.last_run
                plan.paused_by, plan.task = before.paused_by, before.task
            else:
                _recall(plan, known)
                plan.seen = self._now()
        self._plans = plans
        self._wait()

    def list(self) -> list[Planned]:
        """All schedules, as the ini has them."""
        return [plan.shown(self._now()) for plan in self._plans.values()]

    async def run_now(self, name: str, by: object) -> None:
        """Start a run beside the plan, and do not wait for its end. OpsError if it still runs."""
        plan = self._find(name)
        if plan.is_running:
            raise OpsError(f"schedule {name} is running; wait for its end, or kill its job")
        self._run(plan, f"ircops.ini, run now by {by}")

    async def pause(self, name: str, by: object) -> None:
        """Let it rest until `resume`, also over a restart. OpsError if it rests already."""
        plan = self._find(name)
        if plan.paused_by:
            raise OpsError(f"schedule {name} is paused already, by {plan.paused_by}")
        await self._save(name, paused_at=stamp(self._now()), paused_by=str(by))
        plan.paused_by = str(by)

    async def resume(self, name: str) -> None:
        """End a pause; what fell due in it stays undone. OpsError if there is none."""
        plan = self._find(name)
        if not plan.paused_by:
            raise OpsError(f"schedule {name} is not paused")
        await self._save(name, paused_at=None, paused_by="")
        self._look(plan)
        plan.paused_by = ""

    async def due(self, name: str) -> None:
        """Do what the schedule asks for by now: nothing, a run, or a word about why not."""
        if plan := self._plans.get(name):  # a reload may have taken it away
            self._look(plan)

    def _look(self, plan: _Plan, why: str = HELD_UP) -> None:
        """Deal with what fell due since the last look. No waiting in here: nothing may come between."""
        now, since = self._now(), plan.seen
        plan.seen = max(now, since)  # a clock that was set back does not bring runs back
        at = plan.cron.last(since, now)
        if at is None or plan.paused_by:
            return
        due, late = f"{plan.clock(at, now)} {at.astimezone(plan.cron.zone):%Z}", now - at
        if plan.is_running:
            began = plan.last_run and plan.clock(plan.last_run, now)
            self._tell(plan, f"skipped {due}: the run of {began} has not ended; see jobs")
            return
        if late > LATE:
            runs = plan.settings.missed == "run" and late.total_seconds() <= plan.settings.grace
            away = f"{why} {plan.clock(since, now)}-{plan.clock(now, now)}"
            self._tell(plan, f"missed {due} ({away}); {'running now' if runs else 'skipped'}")
            if not runs:
                return
        self._run(plan, "ircops.ini")

    def _run(self, plan: _Plan, evidence: str) -> None:
        plan.last_run = self._now()
        plan.task = asyncio.create_task(self._call(plan, plan.last_run, evidence))

    async def _call(self, plan: _Plan, now: datetime, evidence: str) -> None:
        """Note the run, so that no restart repeats it, then send it down the path of every call."""
        try:
            await self._save(plan.name, last_run_at=stamp(now), seen_at=stamp(plan.seen))
        except OpsError as error:
            # Go on: the record refuses what cannot be recorded, and says so in the channel.
            log.error("schedule %s: %s", plan.name, error.message)
        into = plan.settings.into
        network, channel = place(into[0]) if into else ("", "")
        sender = Sender("schedule", plan.name, plan.name, network=network, evidence=evidence)
        reply = Reply(self._outlet(into))
        await self._handle(Call(sender, plan.settings.run, reply, channel))

    def _tell(self, plan: _Plan, text: str) -> None:
        outlet = self._outlet(plan.settings.into)
        outlet.write(Kind.REPORT, f"schedule {plan.name}: {text}")
        outlet.finish()

    def _find(self, name: str) -> _Plan:
        if name not in self._plans:
            known = f"; known: {', '.join(self._plans) or 'none'}"
            raise OpsError(f"no schedule {name}{did_you_mean(name, self._plans) or known}")
        return self._plans[name]

    def _planned(self, schedules: Mapping[str, Schedule]) -> dict[str, _Plan]:
        if schedules:  # apscheduler takes its time: a bot without any starts without
            from ircops.cron import Cron

        plans = {}
        for name, settings in schedules.items():
            try:
                cron = Cron(settings.at, settings.timezone)
            except ValueError as error:
                raise OpsError(f"[schedule {name}] at = {settings.at}: {error}") from None
            plans[name] = _Plan(name, settings, cron, self._now())
        return plans

    def _wait(self) -> None:
        """Have apscheduler call `due` at each time of each schedule, however late it may be: we judge that."""
        if self._clock is None:
            if not self._is_running or not self._plans:
                return
            from ircops.clock import Clock

            self._clock = Clock(timezone=UTC)
            self._clock.start()
        self._clock.remove_all_jobs()
        always = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        for plan in self._plans.values():
            at = plan.cron.after(plan.seen)
            self._clock.add_job(self.due, plan.cron, [plan.name], next_run_time=at, **always)
        self._clock.add_job(self._look_at_all, "interval", seconds=NOTE, **always)

    async def _look_at_all(self, why: str = HELD_UP) -> None:
        now = self._now()
        for plan in self._plans.values():
            self._look(plan, why)
        await self._note(now)

    async def _note(self, now: datetime) -> None:
        """Note that we have looked until `now`: after a crash, that is when the bot was last seen up."""
        try:
            await self._save(None, seen_at=stamp(now))
        except OpsError as error:
            log.error("schedules: %s", error.message)

    async def _save(self, name: str | None, **values: str | None) -> None:
        """Change the row of one schedule or, with None, of every one there ever was. Raises OpsError."""

        def write() -> None:
            change = f"UPDATE schedules SET {', '.join(f'{column} = ?' for column in values)}"
            with self._database.append() as connection:
                if name is None:
                    connection.execute(change, [*values.values()])
                else:
                    connection.execute(f"{change} WHERE name = ?", [*values.values(), name])

        await asyncio.to_thread(write)

    async def _known(self, names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
        """The rows of before, by name; names without one get it."""

        def read() -> Mapping[str, Mapping[str, Any]]:
            with self._database.append() as connection:
                found = connection.execute(f"SELECT name, {', '.join(_STATE)} FROM schedules")
                rows = {name: dict(zip(_STATE, state, strict=True)) for name, *state in found}
                for name in set(names) - set(rows):
                    new = (name, stamp(self._now()))
                    connection.execute("INSERT INTO schedules (name, seen_at) VALUES (?, ?)", new)
            return rows

        return await asyncio.to_thread(read)


def _recall(plan: _Plan, known: Mapping[str, Mapping[str, Any]]) -> None:
    if row := known.get(plan.name):
        plan.seen = min(plan.seen, moment(row["seen_at"]))  # its clock may have been ahead once
        plan.last_run = row["last_run_at"] and moment(row["last_run_at"])
        plan.paused_by = row["paused_by"]


def place(text: str) -> tuple[str, str]:
    """Network and channel of `libera/#ops`, or of `#ops`, which may be on any."""
    if text[:1] in "#&+!":
        return "", text
    network, _, channel = text.partition("/")
    return network, channel
