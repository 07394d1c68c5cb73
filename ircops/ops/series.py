"""A measure of a host over a time, and how its values, spans and axes are written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ircops.store.samples import Point

HOURS = {"m": 1 / 60, "h": 1, "d": 24, "w": 7 * 24}
LONGEST = 365 * 24.0  # hours
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e4, "k"))  # from 10 000 on


def hours(text: str) -> float:
    """The hours of a time span: 90m, 24h, 7d, 4w; ValueError says what is one."""
    span = re.fullmatch(r"(\d{1,4}) ?([mhdw])", text, re.ASCII)
    found = int(span[1]) * HOURS[span[2]] if span else 0.0
    if not 0 < found <= LONGEST:
        raise ValueError("a time span is written 90m, 24h, 7d or 4w, and is a year at most")
    return found


def span(hours: float) -> str:
    """Hours as they are written: `24h`, `7d`."""
    for unit in ("w", "d", "h"):
        length = HOURS[unit]
        if hours >= 2 * length and hours % length == 0:
            return f"{hours / length:.0f}{unit}"
    return f"{hours:.0f}h" if hours >= 1 and hours % 1 == 0 else f"{hours * 60:.0f}m"


def number(value: float, unit: str = "") -> str:
    """A value as people read it: `0.25`, `93 %`, `1.2 M`."""
    size, prefix = next((one for one in PREFIXES if abs(value) >= one[0]), (1.0, ""))
    if prefix == "k":
        size = 1e3
    value /= size
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.01 else 4
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'0' if text == '-0' else text} {prefix}{unit}".rstrip()


@dataclass(frozen=True)
class Series:
    """A measure of a host over a time."""

    host: str
    measure: str
    unit: str
    since: datetime
    until: datetime
    points: tuple[Point, ...]  # one at least, oldest first
    limit: float | None = None  # what [health] says is too much

    @property
    def low(self) -> Point:
        return min(self.points, key=lambda point: point.low)

    @property
    def high(self) -> Point:
        return max(self.points, key=lambda point: point.high)

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def mean(self) -> float:
        return math.fsum(point.mean for point in self.points) / len(self.points)

    @property
    def hours(self) -> float:
        return (self.until - self.since) / timedelta(hours=1)

    @property
    def numbers(self) -> str:
        """`0.02-1.4, mean 0.31, now 0.25`, with the unit."""
        ends = [number(value) for value in (self.low.low, self.high.high)]
        lowest_to_highest = f"{'..'.join(dict.fromkeys(ends))} {self.unit}".rstrip()
        mean, last = (number(value, self.unit) for value in (self.mean, self.last.mean))
        return f"{lowest_to_highest}, mean {mean}, last {last}"

    def columns(self, count: int) -> list[Point | None]:
        """The same in so many steps of equal length; None where nothing was measured and nothing near it."""
        length = (self.until - self.since) / count
        found: list[list[Point]] = [[] for _ in range(count)]
        for point in self.points:
            at = int((point.at - self.since) / length)
            found[min(max(at, 0), count - 1)].append(point)
        columns = [_joined(points) for points in found]
        return _bridged(columns, max(round(self.pause / length), 1))

    @property
    def pause(self) -> timedelta:
        """From one value to the next, as a rule; what is longer than three of them is a gap."""
        gaps = sorted(b.at - a.at for a, b in zip(self.points, self.points[1:], strict=False))
        return gaps[len(gaps) // 2] if gaps else timedelta()


def scale(low: float, high: float, unit: str = "") -> tuple[float, float]:
    """The ends of an axis for values from `low` to `high`: with 0 in it, and with 100 for percent."""
    bottom, top = min(low, 0.0), max(high, 0.0)
    if unit == "%":
        top = max(top, 100.0)
    if top == bottom:
        top = 1.0
    step = nice((top - bottom) / 4)
    return math.floor(bottom / step) * step, math.ceil(round(top / step, 6)) * step


def nice(step: float) -> float:
    """The next rounder number: 1, 2, 2.5, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def _joined(points: Sequence[Point]) -> Point | None:
    if not points:
        return None
    mean = math.fsum(point.mean for point in points) / len(points)
    low, high = min(point.low for point in points), max(point.high for point in points)
    return Point(points[0].at, low, mean, high)


def _bridged(columns: list[Point | None], usual: int) -> list[Point | None]:
    """Fill what is empty only because values come `usual` steps apart, with the value before."""
    filled: list[Point | None] = []
    missing, before = 0, None
    for index, point in enumerate(columns):
        if point is not None:
            before, missing = point, 0
        else:
            missing += 1
        is_short = before is not None and missing < 3 * usual and any(columns[index:])
        filled.append(_level(before) if point is None and is_short and before else point)
    return filled


def _level(point: Point) -> Point:
    return Point(point.at, point.mean, point.mean, point.mean)
