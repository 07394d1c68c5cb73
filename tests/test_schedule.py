from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops import schedule
from ircops.call import Call, Kind, Sender
from ircops.config import Schedule, Seconds
from ircops.errors import OpsError
from ircops.schedule import Planned, Scheduler
from ircops.store.database import Database
from tests.people import CAROL, Heard, until

MORNING = Schedule(at="0 9 * * *", run="health @all", into=("#ops", "#boss"))
HOURLY = Schedule(at="0 * * * *", run="load @web", into=("#web",), missed="skip")


def at(clock: str, day: int = 23) -> datetime:
    hour, minute, second = (*map(int, clock.split(":")), 0)[:3]
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


class World:
    """A clock that is turned by hand, a database, and ears in every channel."""

    def __init__(self, state: Path) -> None:
        self.now = at("08:00")
        self.calls: list[Call] = []
        self.heard: list[tuple[tuple[str, ...], Heard]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.database = Database("", state, busy=0.05)
        self.database.open()

    def scheduler(self, **schedules: Schedule) -> Scheduler:
        return Scheduler(
            schedules or {"morning": MORNING},
            self.handle,
            self.outlet,
            self.database,
            now=lambda: self.now,
        )

    async def handle(self, call: Call) -> int:
        self.calls.append(call)
        await self.may_end.wait()
        return 0

    def outlet(self, channels: tuple[str, ...]) -> Heard:
        heard = Heard()
        self.heard.append((channels, heard))
        return heard

    @property
    def said(self) -> list[str]:
        return [line for _, heard in self.heard for line in heard.lines]

    async def quiet(self, scheduler: Scheduler) -> None:
        """Wait until no run goes on."""
        await until(lambda: not any(planned.is_running for planned in scheduler.list()))

    async def ran(self, scheduler: Scheduler) -> list[str]:
        """What ran since asked last."""
        await self.quiet(scheduler)
        lines = [call.line for call in self.calls]
        self.calls.clear()
        return lines


def played(state: Path, play: Callable[[World], Awaitable[None]]) -> World:
    async def go() -> World:
        world = World(state)
        await play(world)
        world.database.close()
        return world

    return asyncio.run(go())


async def down(
    world: World, since: str, until: str, day: int = 23, **schedules: Schedule
) -> Scheduler:
    """A bot that ran from 08:00 on the 23rd, was stopped and is started again."""
    first = world.scheduler(**schedules)
    await first.start()
    world.now = at(since)
    await first.stop()
    world.now = at(until, day)
    second = world.scheduler(**schedules)
    await second.start()
    await second.stop()
    return second


def test_a_run_is_a_call_like_any_other(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        world.now = at("09:00:00")
        await scheduler.due("morning")
        await world.quiet(scheduler)

    world = played(tmp_path, play)
    (call,) = world.calls
    assert call.sender == Sender("schedule", "morning", "morning", evidence="ircops.ini")
    assert (call.line, call.where) == ("health @all", "#ops")
    ((channels, heard),) = world.heard
    call.reply.say("all fine")
    assert (channels, heard.said) == (("#ops", "#boss"), [(Kind.ANSWER, "all fine")])


def test_a_run_happens_once_however_often_the_clock_is_looked_at(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        for clock in ("08:59:59", "09:00:00", "09:00:01", "09:00:30", "10:00:00"):
            world.now = at(clock)
            await scheduler.due("morning")
            await world.quiet(scheduler)
        world.now = at("09:00:00", day=24)
        await scheduler.due("morning")
        await world.quiet(scheduler)

    world = played(tmp_path, play)
    assert [call.line for call in world.calls] == ["health @all"] * 2
    assert world.said == []


def test_a_clock_that_is_set_back_does_not_bring_a_run_back(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        for clock in ("09:00:00", "08:59:58", "09:00:00", "09:00:02"):
            world.now = at(clock)
            await scheduler.due("morning")
            await world.quiet(scheduler)

    assert len(played(tmp_path, play).calls) == 1


def test_a_run_missed_while_the_bot_was_down_is_made_up_and_said(tmp_path):
    async def play(world: World) -> None:
        scheduler = await down(world, "08:55", "09:20")
        assert await world.ran(scheduler) == ["health @all"]

    world = played(tmp_path, play)
    assert [kind for _, heard in world.heard for kind, _ in heard.said] == [Kind.REPORT]
    assert world.said == [
        "schedule morning: missed 09:00 UTC (bot was down 08:55-09:20); running now"
    ]
    assert all(heard.is_finished for _, heard in world.heard if heard.said)
    assert {channels for channels, _ in world.heard} == {("#ops", "#boss")}


def test_a_missed_run_is_only_said_if_the_schedule_wants_that(tmp_path):
    async def play(world: World) -> None:
        scheduler = await down(world, "08:55", "09:20", hourly=HOURLY)
        assert await world.ran(scheduler) == []

    assert played(tmp_path, play).said == [
        "schedule hourly: missed 09:00 UTC (bot was down 08:55-09:20); skipped"
    ]


@pytest.mark.parametrize(("back", "end"), [("09:30", "running now"), ("09:31", "skipped")])
def test_a_run_missed_by_more_than_the_grace_is_only_said(back, end, tmp_path):
    brief = Schedule(at="0 9 * * *", run="health @all", into=("#ops",), grace=Seconds(30 * 60))

    async def play(world: World) -> None:
        await world.quiet(await down(world, "08:55", back, brief=brief))

    assert played(tmp_path, play).said == [
        f"schedule brief: missed 09:00 UTC (bot was down 08:55-{back}); {end}"
    ]


def test_many_missed_runs_are_made_up_by_one(tmp_path):
    often = Schedule(at="*/5 9-23 * * *", run="load @web", into=("#ops",))

    async def play(world: World) -> None:
        scheduler = await down(world, "08:55", "12:03", day=25, often=often)
        assert await world.ran(scheduler) == ["load @web"]

    assert played(tmp_path, play).said == [
        "schedule often: missed 12:00 UTC (bot was down 2026-11-23 08:55-12:03); running now"
    ]


def test_a_restart_across_the_minute_costs_no_word_and_no_run(tmp_path):
    async def play(world: World) -> None:
        scheduler = await down(world, "08:59:50", "09:00:20", hourly=HOURLY)
        assert await world.ran(scheduler) == ["load @web"]

    assert played(tmp_path, play).said == []


def test_nothing_is_missed_if_nothing_fell_due(tmp_path):
    async def play(world: World) -> None:
        scheduler = await down(world, "08:05", "08:55")
        assert await world.ran(scheduler) == []

    assert played(tmp_path, play).said == []


def test_a_run_is_not_repeated_by_a_restart(tmp_path):
    async def play(world: World) -> None:
        first = world.scheduler()
        await first.start()
        world.now = at("09:00:01")
        await first.due("morning")
        assert await world.ran(first) == ["health @all"]
        await asyncio.sleep(0)  # no stop: it was killed
        world.now = at("09:00:20")
        second = world.scheduler()
        await second.start()
        assert await world.ran(second) == []
        assert second.list()[0].last_run == at("09:00:01")
        await second.stop()
        await first.stop()

    assert played(tmp_path, play).said == []


def test_a_schedule_that_is_new_has_missed_nothing(tmp_path):
    async def play(world: World) -> None:
        await down(world, "08:01", "08:02")
        world.now = at("09:20")
        again = world.scheduler(hourly=HOURLY)
        await again.start()
        await again.stop()
        assert await world.ran(again) == []

    assert played(tmp_path, play).said == []


def test_a_schedule_that_was_taken_out_for_a_week_has_missed_nothing(tmp_path):
    async def play(world: World) -> None:
        await down(world, "08:01", "08:02")  # with morning
        world.now = at("09:20", 24)
        without = world.scheduler(hourly=HOURLY)
        await without.start()
        world.now = at("09:20", 29)
        await without.reload({"hourly": HOURLY, "morning": MORNING})
        await without.stop()
        assert "health @all" not in await world.ran(without)

    assert not any("morning" in line for line in played(tmp_path, play).said)


def test_the_notice_is_in_the_time_zone_of_the_schedule(tmp_path):
    berlin = Schedule(at="0 9 * * *", timezone="Europe/Berlin", run="health @all", into=("#ops",))

    async def play(world: World) -> None:
        world.now = at("07:00")
        first = world.scheduler(berlin=berlin)
        await first.start()
        await first.stop()
        world.now = at("08:20")
        second = world.scheduler(berlin=berlin)
        await second.start()
        await second.stop()
        await world.quiet(second)

    assert played(tmp_path, play).said == [
        "schedule berlin: missed 09:00 CET (bot was down 08:00-09:20); running now"
    ]


def test_a_machine_that_slept_is_no_excuse_for_silence(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        world.now = at("08:59")
        await scheduler.due("morning")
        world.now = at("09:42")
        await scheduler.due("morning")
        assert await world.ran(scheduler) == ["health @all"]

    assert played(tmp_path, play).said == [
        "schedule morning: missed 09:00 UTC (bot was held up 08:59-09:42); running now"
    ]


def test_a_run_is_left_out_and_said_while_the_one_before_goes_on(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler(hourly=HOURLY)
        world.may_end.clear()
        for clock in ("09:00:00", "10:00:00"):
            world.now = at(clock)
            await scheduler.due("hourly")
            await until(lambda: world.calls)
        with pytest.raises(OpsError, match="schedule hourly is running"):
            await scheduler.run_now("hourly", CAROL)
        world.may_end.set()
        assert await world.ran(scheduler) == ["load @web"]
        world.now = at("11:00:00")
        await scheduler.due("hourly")
        assert await world.ran(scheduler) == ["load @web"]

    assert played(tmp_path, play).said == [
        "schedule hourly: skipped 10:00 UTC: the run of 09:00 has not ended; see jobs"
    ]


def test_run_now_says_on_whose_word(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        await scheduler.load()
        await scheduler.run_now("morning", CAROL)
        await world.quiet(scheduler)
        assert scheduler.list()[0].last_run == at("08:00")

    (call,) = played(tmp_path, play).calls
    assert call.sender == Sender(
        "schedule", "morning", "morning", evidence="ircops.ini, run now by carol"
    )


def test_a_paused_schedule_rests_over_a_restart_and_makes_up_nothing(tmp_path):
    async def play(world: World) -> None:
        first = world.scheduler()
        await first.start()
        await first.pause("morning", CAROL)
        with pytest.raises(OpsError, match="schedule morning is paused already, by carol"):
            await first.pause("morning", CAROL)
        await first.stop()
        world.now = at("09:00:30", day=24)
        second = world.scheduler()
        await second.start()
        (planned,) = second.list()
        assert (planned.paused_by, planned.next_run) == ("carol", None)
        await second.resume("morning")
        with pytest.raises(OpsError, match="schedule morning is not paused"):
            await second.resume("morning")
        await second.due("morning")
        assert await world.ran(second) == []
        world.now = at("09:00:00", day=25)
        await second.due("morning")
        assert await world.ran(second) == ["health @all"]
        await second.stop()

    assert played(tmp_path, play).said == []


def test_a_schedule_that_does_not_exist_is_answered_with_the_nearest(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler(morning=MORNING, hourly=HOURLY)
        for act in (
            scheduler.pause("mornin", CAROL),
            scheduler.resume("mornin"),
            scheduler.run_now("mornin", CAROL),
        ):
            with pytest.raises(OpsError, match='no schedule mornin; did you mean "morning"?'):
                await act
        with pytest.raises(OpsError, match="no schedule x; known: morning, hourly"):
            await scheduler.resume("x")
        await scheduler.due("x")

    played(tmp_path, play)


def test_the_list_shows_what_is_planned(tmp_path):
    berlin = Schedule(at="30 9 * * 1-5", timezone="Europe/Berlin", run="load @web", into=("#ops",))

    async def play(world: World) -> None:
        (planned,) = world.scheduler(berlin=berlin).list()
        assert planned == Planned(
            name="berlin",
            at="30 9 * * 1-5",
            timezone="Europe/Berlin",
            line="load @web",
            into=("#ops",),
            next_run=at("08:30"),
            last_run=None,
            paused_by="",
            is_running=False,
        )
        assert f"{planned.next_run:%H:%M %Z}" == "09:30 CET"

    played(tmp_path, play)


def test_a_reload_keeps_what_is_known_and_takes_the_new_lines(tmp_path):
    late = Schedule(at="0 12 * * *", run="health @db", into=("#ops",))

    async def play(world: World) -> None:
        scheduler = world.scheduler(morning=MORNING, hourly=HOURLY)
        await scheduler.start()
        await scheduler.pause("hourly", CAROL)
        world.may_end.clear()
        await scheduler.run_now("morning", CAROL)
        world.now = at("08:30")
        await scheduler.reload({"morning": late, "hourly": HOURLY, "new": HOURLY})
        planned = {planned.name: planned for planned in scheduler.list()}
        assert planned["morning"].is_running
        assert planned["morning"].next_run == at("12:00")
        assert planned["morning"].last_run == at("08:00")
        assert planned["hourly"].paused_by == "carol"
        world.may_end.set()
        await world.ran(scheduler)
        world.now = at("09:00:00")
        for name in planned:
            await scheduler.due(name)
        assert await world.ran(scheduler) == ["load @web"]  # the new one's
        await scheduler.stop()

    assert played(tmp_path, play).said == []


def test_the_first_schedule_may_come_with_a_reload(tmp_path):
    async def play(world: World) -> None:
        scheduler = Scheduler({}, world.handle, world.outlet, world.database, now=lambda: world.now)
        await scheduler.start()
        assert scheduler.is_alive  # there is nothing to look for
        world.now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
        await scheduler.reload({"always": Schedule(at="* * * * *", run="ping")})
        world.now = datetime.now(UTC)
        await until(lambda: world.calls)
        await scheduler.stop()

    assert [call.line for call in played(tmp_path, play).calls] == ["ping"]


def test_what_falls_due_during_a_reload_still_runs(tmp_path):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        await scheduler.start()
        world.now = at("09:00:00")
        await scheduler.reload({"hourly": HOURLY})
        await until(lambda: world.calls)
        assert world.calls[0].line == "health @all"
        await scheduler.stop()

    played(tmp_path, play)


def test_a_reload_with_a_bad_line_changes_nothing(tmp_path):
    impossible = Schedule(at="0 0 31 2 *", run="ping", into=("#ops",))

    async def play(world: World) -> None:
        scheduler = world.scheduler()
        with pytest.raises(
            OpsError, match=r"^\[schedule bad\] at = 0 0 31 2 \*: no such month has such a day"
        ):
            await scheduler.reload({"bad": impossible})
        assert [planned.name for planned in scheduler.list()] == ["morning"]
        with pytest.raises(OpsError, match="schedule bad"):
            world.scheduler(bad=impossible)

    played(tmp_path, play)


def test_a_database_that_cannot_be_written_stops_no_run(tmp_path, caplog):
    """The record decides what may run without being noted: nothing, and it says so in the channel."""
    caplog.set_level(logging.ERROR)

    async def play(world: World) -> None:
        scheduler = world.scheduler()
        await scheduler.load()
        with closing(sqlite3.connect(world.database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            world.now = at("09:00:00")
            await scheduler.due("morning")
            assert await world.ran(scheduler) == ["health @all"]
            with pytest.raises(OpsError, match="database is locked"):
                await scheduler.pause("morning", CAROL)
        assert scheduler.list()[0].paused_by == ""

    played(tmp_path, play)
    assert "schedule morning: the database" in caplog.text


def test_it_is_alive_while_it_looks_at_the_clock(tmp_path, monkeypatch):
    async def play(world: World) -> None:
        scheduler = world.scheduler()
        assert not scheduler.is_alive
        await scheduler.start()
        await until(lambda: scheduler.is_alive)
        monkeypatch.setattr(schedule, "DEAD", -1.0)  # no look is young enough
        assert not scheduler.is_alive
        monkeypatch.undo()
        await scheduler.stop()
        assert not scheduler.is_alive

    played(tmp_path, play)


def test_it_looks_at_the_clock_again_and_again_though_nothing_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr("ircops.clock.TICK", 0.01)

    async def play(world: World) -> None:
        world.now = datetime.now(UTC)
        scheduler = world.scheduler(yearly=Schedule(at="0 0 1 1 *", run="ping"))
        await scheduler.start()
        looks: set[float] = set()

        def looked() -> bool:
            looks.add(scheduler._clock.looked_at)
            return len(looks) > 3

        await until(looked)
        await scheduler.stop()

    assert played(tmp_path, play).calls == []


def test_apscheduler_wakes_at_the_time_of_the_line(tmp_path):
    """With the real scheduler: its job is for a minute that, when it looks, has just begun."""

    async def play(world: World) -> None:
        this_minute = datetime.now(UTC).replace(second=0, microsecond=0)
        world.now = this_minute - timedelta(seconds=1)
        scheduler = world.scheduler(always=Schedule(at="* * * * *", run="ping", into=("#ops",)))
        await scheduler.start()
        assert scheduler.list()[0].next_run == this_minute
        world.now = this_minute
        await until(lambda: world.calls)
        await scheduler.stop()

    world = played(tmp_path, play)
    assert [call.line for call in world.calls] == ["ping"]
    assert world.said == []


def test_what_falls_due_at_the_moment_of_a_stop_is_left_to_the_next_start(tmp_path):
    async def play(world: World) -> None:
        scheduler = await down(world, "09:00:00", "09:00:30")
        assert await world.ran(scheduler) == ["health @all"]

    assert played(tmp_path, play).said == []


def test_after_a_stop_nothing_starts(tmp_path):
    async def play(world: World) -> None:
        this_minute = datetime.now(UTC).replace(second=0, microsecond=0)
        world.now = this_minute - timedelta(seconds=1)
        scheduler = world.scheduler(always=Schedule(at="* * * * *", run="ping", into=("#ops",)))
        await scheduler.start()
        await scheduler.stop()
        world.now = this_minute
        for _ in range(20):  # turns of the loop, in which a job that is due would begin
            await asyncio.sleep(0)

    assert played(tmp_path, play).calls == []
