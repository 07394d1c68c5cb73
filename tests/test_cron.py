from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.cron import Cron

SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


def days(at: str, count: int = 7) -> str:
    """The days of the week on which a line runs at midnight, from Monday 23 November 2026."""
    times, moment = [], SUNDAY
    while len(times) < count and moment < SUNDAY + timedelta(days=7):
        moment = Cron(at).after(moment)
        times.append(moment)
    return " ".join(f"{time:%a}" for time in times if time < SUNDAY + timedelta(days=7))


def in_zone(at: str, zone: str, start: datetime, count: int) -> list[str]:
    cron, found = Cron(at, zone), []
    for _ in range(count):
        start = cron.after(start)
        found.append(f"{start.astimezone(ZoneInfo(zone)):%d. %H:%M%z}")
    return found


@pytest.mark.parametrize(
    ("weekday", "ran"),
    [
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
        ("mon-fri", "Mon Tue Wed Thu Fri"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("MON,Wed", "Mon Wed"),
        ("0", "Sun"),
        ("7", "Sun"),
        ("1", "Mon"),
        ("6", "Sat"),
        ("0,6", "Sat Sun"),
        ("5-7", "Fri Sat Sun"),
        ("0-7", "Mon Tue Wed Thu Fri Sat Sun"),
        ("1-5/2", "Mon Wed Fri"),
        ("mon-fri/2", "Mon Wed Fri"),
        ("*/2", "Tue Thu Sat Sun"),  # 0, 2, 4, 6
        ("sat-sun", "Sat Sun"),
        ("sun", "Sun"),
        ("mon,5-6", "Mon Fri Sat"),
    ],
)
def test_weekdays_are_counted_from_sunday_as_cron_does(weekday, ran):
    assert days(f"0 0 * * {weekday}") == ran


@pytest.mark.parametrize(
    ("at", "next_run"),
    [
        ("*/5 * * * *", "2026-11-22 12:05"),
        ("*/99 * * * *", "2026-11-22 13:00"),
        ("7-59/20 * * * *", "2026-11-22 12:07"),
        ("50/5 * * * *", "2026-11-22 12:50"),
        ("0 12 * * *", "2026-11-23 12:00"),  # now is not later than now
        ("30 8,20 * * *", "2026-11-22 20:30"),
        ("0 0 1 jan-mar/2 *", "2027-01-01 00:00"),
        ("0 0 31 * *", "2026-12-31 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 1 * mon", "2026-11-23 00:00"),  # the first or a Monday, crontab(5)
        ("0 0 25 * mon", "2026-11-23 00:00"),
        (
            "0 0 23-25 * */6",
            "2027-01-23 00:00",
        ),  # begins with *: a 23rd to 25th and a Sunday or Saturday
    ],
)
def test_the_next_run_is_found(at, next_run):
    assert f"{Cron(at).after(SUNDAY):%Y-%m-%d %H:%M}" == next_run


@pytest.mark.parametrize(
    ("at", "zone", "said"),
    [
        ("0 9 * *", "UTC", "it is minute hour day month weekday"),
        ("60 * * * *", "UTC", "minute"),
        ("0 0 * * funday", "UTC", "weekday"),
        ("0 0 31 2,4 *", "UTC", "no such month has such a day"),
        ("0 9 * * *", "Europe/Berlni", 'did you mean "Europe/Berlin"?'),
    ],
)
def test_a_line_that_means_nothing_is_refused_with_what_is_allowed(at, zone, said):
    with pytest.raises(ValueError, match=r".") as error:
        Cron(at, zone)
    assert said in str(error.value)


def test_nine_o_clock_stays_nine_o_clock_when_clocks_change():
    assert in_zone("0 9 * * *", "Europe/Berlin", datetime(2026, 3, 27, 12, tzinfo=UTC), 3) == [
        "28. 09:00+0100",
        "29. 09:00+0200",
        "30. 09:00+0200",
    ]


def test_a_time_left_out_when_clocks_go_forward_comes_in_the_next_hour():
    before = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    expected = ["29. 03:30+0200", "30. 02:30+0200"]
    assert in_zone("30 2 * * *", "Europe/Berlin", before, 2) == expected
    # also for a bot that begins to look within that hour
    assert in_zone("30 2 * * *", "Europe/Berlin", before + timedelta(minutes=50), 2) == expected


def test_a_time_that_comes_twice_when_clocks_go_back_counts_once():
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert in_zone("30 2 * * *", "Europe/Berlin", start, 2) == ["25. 02:30+0200", "26. 02:30+0100"]


def test_every_half_hour_goes_on_every_half_hour_when_clocks_change():
    for start in (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)):
        cron, times = Cron("*/30 * * * *", "Europe/Berlin"), [start]
        for _ in range(12):
            times.append(cron.after(times[-1]))
        assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=30)}


field = {
    "minute": st.sampled_from(["*", "0", "*/7", "5,50", "10-40/15"]),
    "hour": st.sampled_from(["*", "2", "*/6", "1-3", "0,23"]),
    "day": st.sampled_from(["*", "1", "*/10", "28-31"]),
    "month": st.sampled_from(["*", "mar,oct", "11-12", "*/3"]),
    "weekday": st.sampled_from(["*", "0", "mon-fri", "*/2", "6-7"]),
}
lines = st.builds(lambda **fields: " ".join(fields.values()), **field)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
moments = st.integers(0, 730 * 24 * 60).map(
    lambda m: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=m)
)


@settings(deadline=None, max_examples=60)
@given(lines, zones, moments, st.integers(1, 30))
def test_the_last_run_of_a_span_is_the_one_a_walk_through_it_finds(at, zone, start, steps):
    """`last` halves its way, also over changes of the clock, to what `after` walks to."""
    cron = Cron(at, zone)
    times = [start]
    for _ in range(steps):
        times.append(cron.after(times[-1]))
    assert all(earlier < later for earlier, later in pairwise(times))
    assert cron.last(start, times[-1]) == times[-1]
    assert cron.last(start, times[-1] - timedelta(seconds=1)) == (times[-2] if steps > 1 else None)


@settings(deadline=None, max_examples=60)
@given(lines, moments)
def test_no_run_is_found_but_those_the_line_means(at, start):
    """Against the definition in crontab(5), read minute by minute through the time until the next run."""
    minute, hour, day, month, weekday = at.split()

    def fits(text: str, number: int, low: int) -> bool:
        for part in text.replace("mon-fri", "1-5").replace("mar,oct", "3,10").split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            begin = low if first == "*" else int(first)
            end = 99 if first == "*" else int(last or first)
            if begin <= number <= end and (number - begin) % int(step or 1) == 0:
                return True
        return False

    def is_due(time: datetime) -> bool:
        on_day = fits(day, time.day, 1)
        on_weekday = any(
            fits(weekday, number, 0) for number in {time.isoweekday(), time.isoweekday() % 7}
        )
        either = not (day.startswith("*") or weekday.startswith("*"))
        return (
            fits(minute, time.minute, 0)
            and fits(hour, time.hour, 0)
            and fits(month, time.month, 1)
            and (on_day or on_weekday if either else on_day and on_weekday)
        )

    found = Cron(at).after(start)
    assert is_due(found) and found > start
    time = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3000):
        if time >= found:
            break
        assert not is_due(time)
        time += timedelta(minutes=1)
