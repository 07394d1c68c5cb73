"""A series in characters, for where no picture can be shown: a line of blocks, or a plot of braille dots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ircops.ops.series import Series, number, scale

BLOCKS = "▁▂▃▄▅▆▇█"
NARROW = 24  # characters of a line of blocks
WIDTH = 48  # characters of a plot
ROWS = 3
# the dots of a braille cell: its left column and its right one, each from below
DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
BRAILLE = 0x2800


def sparkline(
    values: Iterable[float | None], low: float | None = None, high: float | None = None
) -> str:
    """A block for each value, from `low` to `high` or the least to the most there is; a gap for None: `▁▂▅█ ▃`."""
    values = list(values)
    known = [value for value in values if value is not None]
    bottom = min(known, default=0.0) if low is None else low
    height = (max(known, default=0.0) if high is None else high) - bottom
    steps = len(BLOCKS) - 1

    def block(value: float) -> str:
        share = (value - bottom) / height if height > 0 else 0.0
        return BLOCKS[round(min(max(share, 0), 1) * steps)]

    return "".join("\u2005" if value is None else block(value) for value in values)


def plot(series: Series, width: int = WIDTH, rows: int = ROWS) -> list[str]:
    """So many lines of braille dots, from the lowest to the highest value; each column spans what was in its time."""
    columns = series.columns(2 * width)
    bottom, top = series.low.low, series.high.high
    most = 4 * rows - 1
    cells = [[0] * width for _ in range(rows)]

    def level(value: float) -> int:
        return round((value - bottom) / (top - bottom) * most) if top > bottom else 1

    before: float | None = None
    for x, point in enumerate(columns):
        if point is not None:
            reach = [point.low, point.high, *([] if before is None else [before])]
            for y in range(level(min(reach)), level(max(reach)) + 1):
                cells[rows - 1 - y // 4][x // 2] |= DOTS[x % 2][y % 4]
        before = point.mean if point else None
    lines = ["".join(chr(BRAILLE + dots) for dots in row) for row in cells]
    labels = {0: number(top, series.unit), rows - 1: number(bottom, series.unit)}
    return [f"{line}▏{labels.get(row, '')}".rstrip() for row, line in enumerate(lines)]


def small(found: Sequence[Series]) -> list[str]:
    """A line for each host, all on one scale: `web1 ▁▂▅█ 0.02..1.4, mean 0.31, last 0.25`."""
    bottom, top = scale(
        min(one.low.low for one in found), max(one.high.high for one in found), found[0].unit
    )
    size = max(len(one.host) for one in found)
    lines = []
    for one in found:
        means = [point.mean if point else None for point in one.columns(NARROW)]
        lines.append(f"{one.host:{size}} {sparkline(means, bottom, top)} {one.numbers}")
    return lines
