"""The page of a graph, and the same as a picture: .png for clients that preview links, .svg for documents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup

from ircops.errors import OpsError
from ircops.ops.graphs import SHOWN, page
from ircops.ops.series import Series, number, span
from ircops.web import svg
from ircops.web.chart import (
    NARROW,
    SMALL,
    WIDE,
    Chart,
    Dot,
    Hint,
    Path,
    Shape,
    Surface,
    Text,
    ends_of,
    segments,
)
from ircops.web.png import png
from ircops.web.templates import page as filled
from ircops.web.templates import seconds
from ircops.web.visit import Content, Visit

RANGES = (1.0, 6.0, 24.0, 7 * 24.0, 30 * 24.0, 180 * 24.0)  # hours that are offered
OTHERS = 24  # measures of the host that are shown below, at most
SPARK = Surface(200, 44, left=1, right=1, top=3, bottom=1)
SHEET = (600, 315)  # the size of a picture by itself: what previews expect, 1.91 to 1
FINE = 2  # a PNG has so many times the pixels


def page_of(visit: Visit) -> Content:
    """The page, or the picture if the address ends so. Raises OpsError."""
    name, hours = visit.path["measure"], float(visit.query.get("hours", "24"))
    measure, kind = next(
        ((name.removesuffix(end), end) for end in (".png", ".svg") if name.endswith(end)),
        (name, ""),
    )
    hosts = visit.parts.inventory.resolve(visit.path["hosts"])
    found = visit.parts.graphs.all(list(hosts)[:SHOWN], measure, hours)
    if kind == ".png":
        shapes = [scaled(shape, FINE) for shape in sheet(found, str(hosts))]
        return Content("image/png", png(shapes, SHEET[0] * FINE, SHEET[1] * FINE))
    if kind == ".svg":
        shapes = list(sheet(found, str(hosts)))
        title = f"{hosts} {measure}, {span(hours)}"
        return Content("image/svg+xml", svg.document(shapes, Surface(*SHEET), title).encode())
    return Content("text/html; charset=utf-8", _page(visit, found, str(hosts), measure, hours))


def _page(visit: Visit, found: Sequence[Series], hosts: str, measure: str, hours: float) -> bytes:
    def link(hours: float, kind: str = "") -> str:
        return visit.link(page(hosts, measure, hours, kind))

    offered = sorted({*RANGES, hours})
    values: dict[str, Any] = {
        "hosts": hosts,
        "measure": measure,
        "span": span(hours),
        "ranges": [(span(each), link(each), each == hours) for each in offered],
        "png": link(hours, ".png"),
        "svg": link(hours, ".svg"),
        "until": visit.until,
        "drawn": found[0].until,
        "summary": found[0].numbers if len(found) == 1 else f"{len(found)} hosts",
        "cards": [],
        "others": [],
        "tiles": [],
        "has_band": any(point.high > point.low for point in found[0].points),
        "step": seconds(found[0].pause.total_seconds()),
    }
    if len(found) == 1:
        values |= {"tiles": tiles(found[0]), "others": list(_others(visit, found[0], hours))}
        values["chart"] = _inline(found[0], WIDE, "wide") + _inline(found[0], NARROW, "narrow")
    else:
        values["chart"] = ""
        values["cards"] = [
            {
                "host": one.host,
                "numbers": one.numbers,
                "link": visit.link(page(one.host, measure, hours)),
                "chart": _inline(one, SMALL, ends=ends_of(found)),
            }
            for one in found
        ]
    return filled("graph.html", **values)


@dataclass(frozen=True)
class Tile:
    """One number that counts."""

    name: str
    value: str
    at: datetime | None = None


def tiles(series: Series) -> list[Tile]:
    """The numbers of a series."""
    unit = series.unit
    return [
        Tile("last", number(series.last.mean, unit), series.last.at),
        Tile("mean", number(series.mean, unit)),
        Tile("lowest", number(series.low.low, unit), series.low.at),
        Tile("highest", number(series.high.high, unit), series.high.at),
    ]


def _others(visit: Visit, series: Series, hours: float) -> Iterator[dict[str, Any]]:
    """What else was measured on the host, small."""
    graphs = visit.parts.graphs
    names = [name for name in graphs.measures(series.host) if name != series.measure]
    for name in names[:OTHERS]:
        try:
            other = graphs.series(series.host, name, hours, points=60)
        except OpsError:  # not in that time
            continue
        yield {
            "name": name,
            "last": number(other.last.mean, other.unit),
            "link": visit.link(page(series.host, name, hours)),
            "chart": Markup(svg.inline(spark(other), SPARK, f"{name} of {series.host}", "spark")),
        }


def _inline(
    series: Series, surface: Surface, kind: str = "", ends: tuple[float, float] | None = None
) -> Markup:
    name = f"{series.measure} of {series.host}: {series.numbers}"
    return Markup(svg.inline(Chart(series, surface, ends=ends).shapes(), surface, name, kind))


def spark(series: Series) -> Iterator[Shape]:
    """Only how it went."""
    chart = Chart(series, SPARK)
    base = SPARK.height - SPARK.bottom
    for segment in segments(series):
        spots = tuple((chart.x(point.at), chart.y(point.mean)) for point in segment)
        if len(spots) == 1:
            yield Dot(*spots[0], "mean")
            continue
        yield Path((*spots, (spots[-1][0], base), (spots[0][0], base)), "area", is_area=True)
        yield Path(spots, "mean")


def sheet(found: Sequence[Series], hosts: str) -> Iterator[Shape]:
    """A picture by itself, which says what it is of."""
    first = found[0]
    width, height = SHEET
    until = first.until.astimezone()
    yield Text(24, 38, f"{hosts}  {first.measure}", "title")
    when = f"{span(first.hours)} until {until:%a} {until.day} {until:%b %H:%M %Z}"
    yield Text(24, 58, when, "label")
    if len(found) == 1:
        for index, tile in enumerate(reversed(tiles(first))):
            yield Text(width - 24 - 72 * index, 38, tile.value, "number", "end")
            yield Text(width - 24 - 72 * index, 58, tile.name, "label", "end")
        surface = Surface(width, height, 64, 24, 78, 34, letters=10.5)
        yield from Chart(first, surface).shapes()
        return
    columns = max(math.ceil(math.sqrt(len(found) * 0.8)), 2)
    rows = math.ceil(len(found) / columns)
    across, down = (width - 32) / columns, (height - 84) / rows
    cell = Surface(across, down, 48, 12, 24, 22, letters=10.5, labels=max(int(across / 90), 1))
    for index, one in enumerate(found):
        x, y = 16 + index % columns * across, 72 + index // columns * down
        yield Text(x + cell.left, y + 14, one.host, "name")
        for shape in Chart(one, cell, ends=ends_of(found)).shapes():
            yield moved(shape, x, y)


def moved(shape: Shape, x: float, y: float) -> Shape:
    """The same, elsewhere."""
    if isinstance(shape, Path):
        return replace(shape, spots=tuple((x + spot[0], y + spot[1]) for spot in shape.spots))
    return replace(shape, x=shape.x + x, y=shape.y + y)


def scaled(shape: Shape, by: float) -> Shape:
    """The same, larger."""
    if isinstance(shape, Path):
        return replace(shape, spots=tuple((by * x, by * y) for x, y in shape.spots))
    if isinstance(shape, Hint):
        return shape  # a picture has none
    return replace(shape, x=by * shape.x, y=by * shape.y)
