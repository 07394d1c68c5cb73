"""Series in characters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ircops.ops.plots import plot, sparkline
from ircops.ops.series import Series
from ircops.store.samples import Point

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def series(*values: float, every: int = 60, unit: str = "", host: str = "web1") -> Series:
    """One value each `every` minutes, until now."""
    points = [
        Point(NOW - timedelta(minutes=every * (len(values) - index)), value, value, value)
        for index, value in enumerate(values)
    ]
    return Series(host, "load", unit, points[0].at, NOW, tuple(points))


def test_a_sparkline_has_a_block_for_each_value_and_a_gap_for_none() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, None, 100]) == "▁\u2005█"
    assert sparkline([5, 5, 5]) == "▁▁▁"
    assert sparkline([50, 200, -9], 0, 100) == "▅█▁"
    assert sparkline([]) == ""
    # from nothing to the highest
    assert sparkline([0, 1, 2, 4], low=0.0) == "▁▃▅█"
    assert sparkline([0, 0], low=0.0) == "▁▁"
    assert sparkline([-1, 5], low=0.0) == "▁█"


def test_a_plot_goes_up_where_the_values_do() -> None:
    rising = plot(series(*range(12), every=60), width=6, rows=3)
    above, middle, below = (line.partition("▏")[0] for line in rising)
    assert all(len(line) == 6 for line in (above, middle, below))
    assert above[:3] == "⠀⠀⠀" and above[-1] != "⠀"
    assert below[0] != "⠀" and below[-3:] == "⠀⠀⠀"
    assert rising[0].endswith("▏11") and rising[2].endswith("▏0")


def test_a_plot_shows_a_peak_that_its_mean_hides_and_a_gap_as_a_gap() -> None:
    points = [Point(NOW - timedelta(hours=hour), 1, 1, 1) for hour in range(12, 0, -1)]
    points[6] = Point(points[6].at, 0, 1, 5)
    found = plot(Series("web1", "load", "", points[0].at, NOW, tuple(points)), width=6, rows=2)
    assert found[0][3] != "⠀" and found[0][:3] == "⠀⠀⠀"
    half = Series("web1", "load", "", NOW - timedelta(hours=24), NOW, tuple(points))
    assert all(line.startswith("⠀⠀⠀") for line in plot(half, width=6, rows=2))
    assert len(plot(series(3.0), width=6)) == 3  # one value, level
