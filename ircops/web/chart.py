"""A series as shapes on a surface: axes, grid, the band from low to high, the mean. `svg` and `png` draw them.

Each shape has a role (`mean`, `grid`, `label` …), and who draws it knows the colour of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from ircops.ops.series import Series, nice, number, scale
from ircops.store.samples import Point

Spot = tuple[float, float]
STEPS = (  # minutes between two labels of the time axis; longer ones are whole days
    *(1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720),
    *(days * 1440 for days in (1, 2, 5, 7, 14, 28, 56, 91, 182, 365)),
)
DAY = 1440


@dataclass(frozen=True)
class Text:
    """Words, with their baseline at y."""

    x: float
    y: float
    text: str
    role: str
    anchor: str = "start"  # or middle, or end: what of it is at x


@dataclass(frozen=True)
class Path:
    """A line, or an area."""

    spots: tuple[Spot, ...]
    role: str
    is_area: bool = False


@dataclass(frozen=True)
class Dot:
    """A value that has no neighbours."""

    x: float
    y: float
    role: str


@dataclass(frozen=True)
class Hint:
    """A part of the surface, and what a pointer over it is told."""

    x: float
    y: float
    width: float
    height: float
    text: str


Shape = Text | Path | Dot | Hint


@dataclass(frozen=True)
class Surface:
    """Its size, and what is left free around the plot for labels."""

    width: float
    height: float
    left: float = 52
    right: float = 12
    top: float = 14
    bottom: float = 26
    letters: float = 12  # height of a label
    labels: int = 8  # on the time axis, at most


WIDE = Surface(960, 300)
NARROW = Surface(400, 240, left=46, right=8, labels=4)
SMALL = Surface(300, 120, left=40, right=6, top=8, bottom=20, letters=11, labels=3)


class Chart:
    """One series on one surface. `zone` is whose clock the time axis has; `ends` of the other, if they are given."""

    def __init__(
        self,
        series: Series,
        surface: Surface,
        zone: tzinfo | None = None,
        ends: tuple[float, float] | None = None,
    ) -> None:
        self._series, self._surface, self._zone = series, surface, zone
        self._bottom, self._top = ends or ends_of([series])

    def shapes(self) -> Iterator[Shape]:
        """All of it, what lies below first."""
        yield from self._values_axis()
        yield from self._time_axis()
        for segment in segments(self._series):
            yield from self._segment(segment)
        yield from self._threshold()
        yield from self._hints()

    def x(self, at: datetime) -> float:
        surface, series = self._surface, self._series
        share = max((at - series.since) / (series.until - series.since), 0.0)  # a step begins early
        return surface.left + share * (surface.width - surface.left - surface.right)

    def y(self, value: float) -> float:
        surface = self._surface
        share = (value - self._bottom) / (self._top - self._bottom)
        return surface.height - surface.bottom - share * self._height

    @property
    def _height(self) -> float:
        return self._surface.height - self._surface.top - self._surface.bottom

    def _values_axis(self) -> Iterator[Shape]:
        surface = self._surface
        step = nice((self._top - self._bottom) / max(min(self._height / 45, 5), 2))
        count = math.floor((self._top - self._bottom) / step + 0.001)
        for index in range(count + 1):
            value = self._bottom + index * step
            y = self.y(value)
            role = "base" if abs(value) < step / 1000 else "grid"
            yield Path(((surface.left, y), (surface.width - surface.right, y)), role)
            label = number(value, self._series.unit)
            yield Text(surface.left - 8, y + surface.letters / 3, label, "label", "end")

    def _time_axis(self) -> Iterator[Shape]:
        surface = self._surface
        y = surface.height - surface.bottom
        for at, label, is_day in ticks(
            self._series.since, self._series.until, surface.labels, self._zone
        ):
            x = self.x(at)
            yield Path(((x, surface.top), (x, y)), "day" if is_day else "tick")
            if surface.left + 14 <= x <= surface.width - surface.right - 14:
                yield Text(x, y + surface.letters + 6, label, "label", "middle")

    def _segment(self, points: Sequence[Point]) -> Iterator[Shape]:
        """What was measured without a gap."""
        means = tuple((self.x(point.at), self.y(point.mean)) for point in points)
        if len(points) == 1:
            yield Dot(*means[0], "mean")
            return
        base = self.y(min(max(0.0, self._bottom), self._top))
        yield Path((*means, (means[-1][0], base), (means[0][0], base)), "area", is_area=True)
        if any(point.high > point.low for point in points):
            highs = [(self.x(point.at), self.y(point.high)) for point in points]
            lows = [(self.x(point.at), self.y(point.low)) for point in points]
            yield Path((*highs, *reversed(lows)), "band", is_area=True)
        yield Path(means, "mean")

    def _threshold(self) -> Iterator[Shape]:
        surface, limit = self._surface, self._series.limit
        if limit is None or not self._bottom < limit <= self._top:
            return
        y = self.y(limit)
        yield Path(((surface.left, y), (surface.width - surface.right, y)), "limit")
        if surface.labels > SMALL.labels:
            text = f"limit {number(limit, self._series.unit)}"
            # the grid's top label and the edge are near where it is high
            below = y - surface.letters < surface.top
            y += surface.letters + 2 if below else -5
            yield Text(surface.width - surface.right - 4, y, text, "limit", "end")

    def _hints(self) -> Iterator[Shape]:
        points, surface = self._series.points, self._surface
        for index, point in enumerate(points):
            x = self.x(point.at)
            before = self.x(points[index - 1].at) if index else x - 4
            after = self.x(points[index + 1].at) if index + 1 < len(points) else x + 4
            left, right = (x + max(before, x - 8)) / 2, (x + min(after, x + 8)) / 2
            yield Hint(left, surface.top, right - left, self._height, self._hint(point))

    def _hint(self, point: Point) -> str:
        unit = self._series.unit
        at = point.at.astimezone(self._zone)
        text = f"{at:%a %d %b %H:%M}: {number(point.mean, unit)}"
        if point.low == point.high:
            return text
        return f"{text} ({number(point.low)} to {number(point.high, unit)})"


def ends_of(series: Sequence[Series]) -> tuple[float, float]:
    """The ends of an axis that all of these fit on."""
    low = min(one.low.low for one in series)
    return scale(low, max(one.high.high for one in series), series[0].unit)


def segments(series: Series) -> Iterator[list[Point]]:
    """The points without a gap between them."""
    longest = 3 * series.pause or timedelta.max
    segment: list[Point] = []
    for point in series.points:
        if segment and point.at - segment[-1].at > longest:
            yield segment
            segment = []
        segment.append(point)
    yield segment


def ticks(
    since: datetime, until: datetime, most: int, zone: tzinfo | None
) -> Iterator[tuple[datetime, str, bool]]:
    """At most `most` round moments of that clock, as labels, and whether a day begins there."""
    minutes = (until - since) / timedelta(minutes=1)
    step = next((step for step in STEPS if minutes / step <= most), STEPS[-1])
    first = since.astimezone(zone).replace(tzinfo=None)
    last = until.astimezone(zone).replace(tzinfo=None)
    start = datetime.combine(first, time())
    if step >= DAY:  # the same days whenever it is drawn
        start -= timedelta(days=start.toordinal() % (step // DAY))
    for count in range(math.ceil((last - start) / timedelta(minutes=step)) + 1):
        local = start + timedelta(minutes=count * step)
        if not first <= local <= last:
            continue
        is_day = local.hour == local.minute == 0
        label = f"{local.day} {local:%b}" if is_day else f"{local:%H:%M}"
        yield _moment(local, zone), label, is_day and step < DAY


def _moment(local: datetime, zone: tzinfo | None) -> datetime:
    """When a clock shows that; None is the clock of this machine."""
    return (local.replace(tzinfo=zone) if zone else local).astimezone(UTC)
