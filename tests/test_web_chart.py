"""Series as pictures: axes that say the truth, gaps that stay gaps, files that other programs can read."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from ircops.ops.series import Series
from ircops.store.samples import Point
from ircops.web import svg
from ircops.web.chart import NARROW, WIDE, Chart, Dot, Hint, Path, Surface, Text, segments, ticks
from ircops.web.graph_page import FINE, SHEET, scaled, sheet
from ircops.web.png import png

NOW = datetime(2026, 11, 28, 12, 7, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def series(count: int = 100, host: str = "web1", **other: object) -> Series:
    points = tuple(
        Point(NOW - timedelta(minutes=10 * left), 0.5, 1.0 + left % 3, 4.0)
        for left in range(count, 0, -1)
    )
    since = NOW - timedelta(minutes=10 * count)
    return replace(Series(host, "load", "", since, NOW, points, 3.0), **other)  # type: ignore[arg-type]


def labels(since: datetime, until: datetime, zone: str = "UTC", most: int = 8) -> list[str]:
    return [label for _, label, _ in ticks(since, until, most, ZoneInfo(zone))]


def test_the_time_axis_has_round_moments_of_that_clock() -> None:
    day = timedelta(days=1)
    assert labels(NOW - timedelta(hours=1), NOW) == [
        "11:10", "11:20", "11:30", "11:40", "11:50", "12:00",
    ]  # fmt: skip
    assert labels(NOW - day, NOW, "Asia/Kolkata") == [
        "18:00", "21:00", "28 Nov", "03:00", "06:00", "09:00", "12:00", "15:00",
    ]  # fmt: skip
    assert labels(NOW - 7 * day, NOW) == [f"{number} Nov" for number in range(22, 29)]
    assert labels(NOW - 180 * day, NOW)[-1].endswith("Nov")


@pytest.mark.parametrize("minutes", [1, 5, 59, 60, 61, 600, 1440, 10_000, 43_200, 525_600])
@pytest.mark.parametrize("most", [1, 3, 8])
def test_there_are_some_labels_and_never_too_many(minutes: int, most: int) -> None:
    found = list(ticks(NOW - timedelta(minutes=minutes), NOW, most, UTC))
    assert len(found) <= most + 1
    assert all(NOW - timedelta(minutes=minutes) <= at <= NOW for at, _, _ in found)


def test_days_begin_at_midnight_also_when_the_clocks_change() -> None:
    until = datetime(2026, 10, 28, 12, tzinfo=UTC)  # summer time ends on the 25th
    zone = ZoneInfo("Europe/Berlin")
    found = list(ticks(until - timedelta(days=6), until, 8, zone))
    assert [at.astimezone(zone).hour for at, _, _ in found] == [0] * 6


def test_a_gap_is_a_gap() -> None:
    points = series().points
    broken = series(points=(*points[:30], *points[40:60], points[70], *points[80:]))
    assert [len(part) for part in segments(broken)] == [30, 20, 1, 20]
    shapes = list(Chart(broken, WIDE, UTC).shapes())
    assert sum(isinstance(shape, Path) and shape.role == "mean" for shape in shapes) == 3
    assert sum(isinstance(shape, Dot) for shape in shapes) == 1


def test_a_single_value_is_seen() -> None:
    shapes = list(Chart(series(points=series().points[:1]), WIDE, UTC).shapes())
    assert sum(isinstance(shape, Dot) for shape in shapes) == 1


@pytest.mark.parametrize("surface", [WIDE, NARROW, Surface(150, 80, labels=1)])
@pytest.mark.parametrize(
    "values", [(0, 0, 0), (-3, 1, 2), (1e12, 2e12, 3e12), (0.001, 0.002, 0.003)]
)
def test_nothing_is_drawn_outside(surface: Surface, values: tuple[float, float, float]) -> None:
    points = tuple(Point(point.at, *values) for point in series().points)
    for shape in Chart(series(points=points), surface, UTC).shapes():
        spots = shape.spots if isinstance(shape, Path) else [(shape.x, shape.y)]
        for x, y in spots:
            assert 0 <= x <= surface.width and 0 <= y <= surface.height, shape


def test_higher_values_are_higher_and_later_ones_further_right() -> None:
    chart = Chart(series(), WIDE, UTC)
    assert chart.y(4) < chart.y(1) < chart.y(0) == WIDE.height - WIDE.bottom
    assert chart.x(NOW) == WIDE.width - WIDE.right > chart.x(NOW - timedelta(hours=1))


def test_a_step_that_began_before_the_time_does_not_reach_into_the_axis() -> None:
    early = series(since=series().points[0].at + timedelta(minutes=3))
    (line,) = [
        shape
        for shape in Chart(early, WIDE, UTC).shapes()
        if isinstance(shape, Path) and shape.role == "mean"
    ]
    assert min(x for x, _ in line.spots) == WIDE.left


def test_axes_name_units_and_the_limit() -> None:
    shapes = list(Chart(series(unit="%", limit=90.0), WIDE, UTC).shapes())
    said = {shape.text for shape in shapes if isinstance(shape, Text)}
    assert {"0 %", "100 %", "limit 90 %"} <= said
    hints = [shape.text for shape in shapes if isinstance(shape, Hint)]
    assert hints[-1] == "Sat 28 Nov 11:57: 2 % (0.5 to 4 %)"


def test_the_svg_is_well_formed_whatever_it_is_called() -> None:
    name = 'web1"><script>alert(1)</script>&\x00\x1b\ud800'
    hostile = series(host=name, measure=name, unit="<&")
    root = xml.fromstring(svg.document(list(sheet([hostile], name)), Surface(*SHEET), name))
    assert root.tag == f"{SVG}svg"
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "style", "text", "path", "rect"}
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any("<script>" in text for text in texts) and "highest" in texts
    inline = svg.inline(Chart(hostile, WIDE).shapes(), WIDE, name)
    assert "<script" not in inline and xml.fromstring(inline) is not None
    assert not re.search(r"(?:href|src|url\(|@import|style=)", inline)


@pytest.mark.parametrize("hosts", [1, 2, 7, 24])
def test_the_png_can_be_read_and_shows_lines_and_words(hosts: int) -> None:
    found = [series(host=f"web{number}") for number in range(1, hosts + 1)]
    shapes = [scaled(shape, FINE) for shape in sheet(found, "web[1-24]")]
    data = png(shapes, SHEET[0] * FINE, SHEET[1] * FINE)
    assert len(data) < 200_000
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("PNG", (1200, 630))
    colours = image.convert("RGB").getcolors(1 << 16)
    assert colours is not None
    by_colour = {colour: count for count, colour in colours}

    def near(wanted: tuple[int, int, int]) -> int:
        """Pixels of about that colour."""
        return sum(
            count
            for colour, count in by_colour.items()
            if max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) < 24
        )

    assert near((255, 255, 255)) > 300_000  # paper
    assert near((23, 105, 194)) > 300  # the mean
    assert near((192, 216, 240)) > 1_000  # from low to high
    assert near((27, 39, 51)) > 150  # the title
    assert near((196, 49, 75)) > 100  # the limit
