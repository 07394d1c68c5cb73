from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from ircops.store.database import Database
from ircops.store.samples import Point, Samples

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Clock:
    """Stands until it is turned."""

    def __init__(self) -> None:
        self.at = NINE

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def samples(database: Database, clock: Clock) -> Samples:
    return Samples(database, clock)


def add(samples: Samples, start: datetime, values: list[float], every: timedelta = MINUTE) -> None:
    for number, value in enumerate(values):
        samples.add(start + number * every, [("web1", "load", value)])


def shape(points: list[Point]) -> list[tuple[datetime, float, float, float]]:
    return [(point.at, point.low, point.mean, point.high) for point in points]


def count(database: Database) -> int:
    with database.append() as connection:
        [(number,)] = connection.execute("SELECT count(*) FROM samples").fetchall()
    return int(number)


def test_values_come_back_by_the_minute_oldest_first(samples):
    add(samples, NINE, [1, 3, 2])
    points = samples.series("web1", "load", NINE, NINE + HOUR)
    assert shape(points) == [(NINE + n * MINUTE, v, v, v) for n, v in enumerate([1, 3, 2])]


def test_what_was_measured_in_this_very_second_counts_though_the_minute_has_just_begun(samples):
    add(samples, NINE + timedelta(milliseconds=100), [1])
    now = NINE + timedelta(milliseconds=300)
    assert shape(samples.series("web1", "load", now - HOUR, now)) == [(NINE, 1, 1, 1)]


def test_several_values_of_a_minute_are_one_step_with_its_low_mean_and_high(samples):
    add(samples, NINE, [1, 6, 2], every=timedelta(seconds=20))
    assert shape(samples.series("web1", "load", NINE, NINE + HOUR)) == [(NINE, 1, 3, 6)]


def test_hosts_and_measures_are_kept_apart_and_named(samples):
    samples.add(NINE, [("web1", "load", 1), ("web1", "disk:/var", 40), ("web2", "load", 2)])
    assert [p.mean for p in samples.series("web2", "load", NINE, NINE + HOUR)] == [2]
    assert samples.series("web3", "load", NINE, NINE + HOUR) == []
    assert samples.measures("web1") == ["disk:/var", "load"]
    assert samples.measures("web3") == []


def test_only_the_time_that_was_asked_for_is_given(samples):
    add(samples, NINE, [1, 2, 3, 4])
    points = samples.series("web1", "load", NINE + MINUTE, NINE + 3 * MINUTE)
    assert [point.mean for point in points] == [2, 3]


@pytest.mark.parametrize("points", [2, 7, 50, 200])
def test_there_are_never_more_points_than_asked_for(points, samples):
    add(samples, NINE + timedelta(seconds=17), [float(n) for n in range(100)])
    found = samples.series("web1", "load", NINE, NINE + 100 * MINUTE, points)
    assert 0 < len(found) <= points
    assert (min(p.low for p in found), max(p.high for p in found)) == (0, 99)


def test_what_is_no_number_is_left_out(samples):
    samples.add(NINE, [("web1", "load", math.nan), ("web1", "load", math.inf)])
    samples.add(NINE, [])
    assert samples.measures("web1") == []


def test_a_day_later_minutes_have_become_ten_with_the_peak_still_in_them(samples, clock, database):
    add(samples, NINE, [1] * 9 + [91] + [5] * 10)
    clock.at = NINE + DAY + HOUR
    samples.prune()
    assert count(database) == 2
    found = samples.series("web1", "load", NINE, NINE + HOUR)
    assert shape(found) == [(NINE, 1, 10, 91), (NINE + 10 * MINUTE, 5, 5, 5)]


def test_ten_days_later_they_have_become_hours_weighed_by_their_number(samples, clock, database):
    add(samples, NINE, [0] * 30 + [9] * 10)
    clock.at = NINE + 2 * DAY
    samples.prune()
    clock.at = NINE + 11 * DAY
    samples.prune()
    assert count(database) == 1
    assert shape(samples.series("web1", "load", NINE, NINE + HOUR)) == [(NINE, 0, 2.25, 9)]


def test_a_step_that_comes_late_joins_the_longer_one_it_belongs_to(samples, clock):
    add(samples, NINE, [2])
    clock.at = NINE + 2 * DAY
    samples.prune()
    add(samples, NINE + MINUTE, [6])
    samples.prune()
    assert shape(samples.series("web1", "load", NINE, NINE + HOUR)) == [(NINE, 2, 4, 6)]


def test_what_is_older_than_is_kept_goes_and_newer_stays(samples, clock, database):
    add(samples, NINE, [1])
    add(samples, NINE + 8 * DAY, [2])
    samples.keep = 9 * DAY
    clock.at = NINE + 10 * DAY
    samples.prune()
    assert [p.mean for p in samples.series("web1", "load", NINE, NINE + 10 * DAY)] == [2]


def test_adding_prunes_by_itself_once_an_hour(samples, clock, database):
    add(samples, NINE, [1, 2, 3])
    clock.at = NINE + 2 * DAY
    add(samples, clock.at, [4])
    assert count(database) == 2


def test_more_series_than_are_pruned_at_once_are_all_pruned(samples, clock, database):
    for minute in range(2):
        samples.add(NINE + minute * MINUTE, [(f"web{n}", "load", n) for n in range(120)])
    clock.at = NINE + 2 * DAY
    samples.prune()
    assert count(database) == 120


def test_two_processes_name_the_same_series(samples, database, clock):
    other = Samples(database, clock)
    samples.add(NINE, [("web1", "load", 1)])
    other.add(NINE, [("web1", "swap", 7), ("web1", "load", 3)])
    samples.add(NINE, [("web1", "swap", 9)])
    assert shape(samples.series("web1", "load", NINE, NINE + HOUR)) == [(NINE, 1, 2, 3)]
    assert shape(samples.series("web1", "swap", NINE, NINE + HOUR)) == [(NINE, 7, 8, 9)]
