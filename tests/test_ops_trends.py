from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ircops.ops.trends import Trends, about, full_in, slope
from ircops.store.samples import Samples

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR, DAY = 3600.0, 86400.0


def growing(start: float, each: float, count: int = 30) -> list[tuple[float, float]]:
    """Percent, each four hours."""
    return [(4 * HOUR * n, start + each * n) for n in range(count)]


def test_a_disk_that_grows_is_full_when_the_line_says():
    points = growing(40, 1)
    assert full_in(points, 70) == pytest.approx(30 * 4 * HOUR)


def test_odd_values_do_not_bend_the_line():
    points = growing(40, 1)
    for number in (3, 9, 15, 21):
        points[number] = (points[number][0], points[number][1] + 4)
    assert slope(points) == pytest.approx(1 / (4 * HOUR), rel=0.1)


def test_a_disk_that_does_not_grow_is_never_full():
    assert full_in(growing(60, 0), 60) is None
    assert full_in(growing(60, -0.2), 54) is None
    assert full_in([(4 * HOUR * n, 60 + n % 2) for n in range(30)], 60) is None


def test_what_was_emptied_since_is_no_trend():
    sawtooth = growing(40, 1) + [(t + 120 * HOUR, v - 28) for t, v in growing(40, 0, 10)]
    assert full_in(sawtooth, 12) is None


def test_too_little_is_no_trend():
    assert full_in(growing(40, 5, 3), 55) is None
    assert full_in([(60.0 * n, 40 + n) for n in range(30)], 70) is None  # half an hour


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(600, "about an hour"), (5 * HOUR, "about 5 hours"), (3.2 * DAY, "about 3 days")],
)
def test_people_get_round_numbers(seconds, said):
    assert about(seconds) == said


def test_the_samples_tell_which_disks_are_full_soon(database):
    samples = Samples(database, lambda: NOW)
    for hours in range(0, 96, 4):
        at = NOW - timedelta(hours=96 - hours)
        full = 50 + hours * 0.4
        values = [
            ("web1", "disk:/var", full),
            ("web1", "disk:/", 40.0),
            ("web2", "disk:/var", 30.0),
        ]
        samples.add(at, [*values, ("web1", "load", full)])
    trends = Trends(samples)
    latest = {"web1": {"disk:/var": 88.4, "disk:/": 40.0, "load": 3.0}, "web2": {"disk:/var": 30.0}}
    assert trends.soon(latest, NOW, 7 * DAY) == [("web1", "disk /var full in about 29 hours")]
    assert trends.soon(latest, NOW, 12 * HOUR) == []
    assert trends.soon({"web2": latest["web2"]}, NOW, 7 * DAY) == []


def test_sparks_of_a_host_are_of_its_last_day(database):
    samples = Samples(database, lambda: NOW)
    for hours in range(24):
        samples.add(NOW - timedelta(hours=24 - hours), [("web1", "load", float(hours))])
    sparks = Trends(samples).sparks("web1", ["load", "swap"], NOW)
    assert list(sparks) == ["load"]
    assert sparks["load"][0] == "▁" and sparks["load"][-1] == "█"
