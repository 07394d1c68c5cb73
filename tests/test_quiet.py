from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, time, timedelta

import pytest

from ircops import quiet
from ircops.call import Kind
from ircops.config import Channel, Hours
from ircops.quiet import Quiet
from tests.people import Heard

NIGHT = Hours(time(22), time(7))
CHANNELS = {
    "#ops": Channel(quiet=NIGHT),
    "#berlin": Channel(quiet=NIGHT, timezone="Europe/Berlin"),
    "#dev": Channel(),
}
EVENING = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)


class Clock:
    """Stands until it is turned."""

    at = EVENING

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hours(clock: Clock) -> Quiet:
    return Quiet(CHANNELS.__getitem__, clock)


def test_hours_are_of_the_channels_own_time_zone(hours, clock):
    assert [hours.is_quiet(place) for place in ("#ops", "#berlin", "#dev")] == [False, True, False]
    clock.at += timedelta(hours=1)
    assert hours.is_quiet("net/#ops")
    clock.at = EVENING + timedelta(hours=9, minutes=30)
    assert [hours.is_quiet(place) for place in ("#ops", "#berlin")] == [False, False]


def test_what_is_said_by_day_is_said_at_once(hours):
    heard = Heard()
    outlet = hours.hushed("#ops", heard)
    outlet.write(Kind.REPORT, "all good")
    outlet.finish()
    assert heard.lines == ["all good"] and heard.is_finished


def test_what_is_said_at_night_is_summed_up_in_the_morning(hours, clock):
    heard = Heard()
    outlet = hours.hushed("#ops", heard)
    clock.at = EVENING + timedelta(hours=1)
    for _ in range(3):
        outlet.write(Kind.ANSWER, "health: 1 of 3 hosts not fine")
        outlet.write(Kind.PROGRESS, "1/3 done")
        clock.at += timedelta(hours=1)
    outlet.write(Kind.ERROR, "no such group")
    hours.release()
    assert heard.said == []
    clock.at = EVENING + timedelta(hours=10)
    hours.release()
    assert heard.lines == [
        "held back in the quiet hours: 2 lines",
        "00:30 health: 1 of 3 hosts not fine (3 times)",
        "01:30 no such group",
    ]
    hours.release()
    assert len(heard.lines) == 3


def test_no_more_is_held_than_anybody_would_read(hours, clock, monkeypatch):
    monkeypatch.setattr(quiet, "MOST", 2)
    heard = Heard()
    outlet = hours.hushed("#ops", heard)
    clock.at = EVENING + timedelta(hours=1)
    for number in range(5):
        outlet.write(Kind.REPORT, f"line {number}")
    clock.at = EVENING + timedelta(hours=10)
    hours.release()
    assert heard.lines[0] == "held back in the quiet hours: 5 lines"
    assert len(heard.lines) == 3


def test_it_is_released_by_itself_and_the_log_has_what_never_is(hours, clock, monkeypatch, caplog):
    monkeypatch.setattr(quiet, "LOOK", 0.01)
    heard = Heard()

    async def scene() -> None:
        task = asyncio.create_task(hours.run())
        clock.at = EVENING + timedelta(hours=1)
        hours.hushed("#ops", heard).write(Kind.REPORT, "one")
        clock.at = EVENING + timedelta(hours=10)
        async with asyncio.timeout(10):
            while not heard.said:
                await asyncio.sleep(0.01)
        clock.at += timedelta(hours=15)
        hours.hushed("#ops", heard).write(Kind.REPORT, "two")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert heard.lines == ["held back in the quiet hours: 1 line", "22:30 one"]
    assert "not said in #ops" in caplog.text and "two" in caplog.text
