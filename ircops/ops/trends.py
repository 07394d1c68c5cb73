"""When will a disk be full? A line through what was measured that a few odd values do not bend, and sparks to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from ircops.ops.plots import sparkline
from ircops.store.samples import Samples

WINDOW = timedelta(days=7)  # that a trend is seen in
POINTS = 42  # in it: by four hours; the pairs of more would take long
LEAST_POINTS = 4
LEAST_SPAN = timedelta(hours=2)  # of history
WATCHED = ("disk:", "inodes:")  # measures in percent that are full at 100
FRESH = timedelta(minutes=10)
NEVER = datetime.min.replace(tzinfo=UTC)

History = dict[tuple[str, str], list[tuple[float, float]]]  # by host and measure; seconds and mean


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs (Theil 1950, Sen 1968): up to a quarter of the points may be odd."""
    import statistics

    return statistics.median(
        (y2 - y1) / (x2 - x1)
        for number, (x1, y1) in enumerate(points)
        for x2, y2 in points[number + 1 :]
        if x2 > x1
    )


def full_in(points: Sequence[tuple[float, float]], value: float) -> float | None:
    """Seconds until `value` has grown to 100; None if it does not grow, or too little is known.

    `points` are seconds and percent, oldest first. What was emptied since is no trend: only what came after the last
    great fall counts.
    """
    begin = 0
    for number in range(1, len(points)):
        if points[number - 1][1] - points[number][1] > 5:
            begin = number
    points = points[begin:]
    if len(points) < LEAST_POINTS or points[-1][0] - points[0][0] < LEAST_SPAN.total_seconds():
        return None
    grows = slope(points)
    whole = grows * (points[-1][0] - points[0][0])
    if whole < 0.5:  # percent; what df rounds is no growth
        return None
    return max((100 - value) / grows, 0.0)


class Trends:
    """What the samples say of the time to come. Blocking."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        # of the last hosts: a million samples take a second to read, and are the same a moment later
        self._kept: tuple[frozenset[str], datetime, History] = (frozenset(), NEVER, {})

    def soon(
        self, latest: Mapping[str, Mapping[str, float]], now: datetime, within: float
    ) -> list[tuple[str, str]]:
        """Host and sentence for each disk of `latest` (host -> measure -> value) that is full within so many seconds."""
        told = []
        for (host, measure), points in self._history(frozenset(latest), now).items():
            value = latest[host].get(measure)
            left = None if value is None else full_in(points, value)
            if left is not None and left < within and value is not None and value < 100:
                told.append((left, host, f"{measure.replace(':', ' ', 1)} full in {about(left)}"))
        return [(host, text) for _, host, text in sorted(told)]

    def _history(self, hosts: frozenset[str], now: datetime) -> History:
        known, at, history = self._kept
        if known != hosts or not timedelta() <= now - at < FRESH:
            history = self._samples.history(WATCHED, hosts, now - WINDOW, WINDOW / POINTS)
            self._kept = (hosts, now, history)
        return history

    def sparks(self, host: str, measures: Sequence[str], now: datetime) -> dict[str, str]:
        """A few bars for each measure, of the last day; none where too little is known."""
        found = {}
        for measure in measures:
            points = self._samples.series(host, measure, now - timedelta(days=1), now, 8)
            if len(points) > 2:
                found[measure] = sparkline((point.mean for point in points), low=0.0)
        return found


def about(seconds: float) -> str:
    """`about 3 days`, `about 5 hours`."""
    hours = seconds / 3600
    if hours < 1.5:
        return "about an hour"
    if hours < 36:
        return f"about {hours:.0f} hours"
    days = hours / 24
    return f"about {days:.0f} days"
