"""What was measured on hosts, over time: by the minute for a day, then coarser, then not at all.

A step holds the lowest, the mean and the highest of the values in it, so that a peak of one minute is still there when
its minute has become a part of an hour. Nothing waits for these rows; they are added and thrown away in small
transactions, for the record's turn must come soon.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ircops.store.database import Database

DAY = 86400
MINUTE, TEN_MINUTES, HOUR = 60, 600, 3600
BECOMES = (  # steps that are older than this become longer ones
    (MINUTE, DAY, TEN_MINUTES),
    (TEN_MINUTES, 10 * DAY, HOUR),
)
KEEP = timedelta(days=180)
PRUNED = timedelta(hours=1)  # how often that is done
SERIES = 50  # of which it is done in one transaction: some ten milliseconds

_KNOWN = "SELECT id, host, measure FROM series"
_NAME = "INSERT INTO series (host, measure) VALUES (?, ?) ON CONFLICT DO NOTHING"
_COLUMNS = "INSERT INTO samples (series, step, at, number, low, mean, high)"
_JOIN = """ON CONFLICT (series, step, at) DO UPDATE SET
    low = CASE WHEN excluded.low < samples.low THEN excluded.low ELSE samples.low END,
    mean = samples.mean + (excluded.mean - samples.mean) * excluded.number
        / (samples.number + excluded.number),
    high = CASE WHEN excluded.high > samples.high THEN excluded.high ELSE samples.high END,
    number = samples.number + excluded.number"""
_ADD = f"{_COLUMNS} VALUES (?, {MINUTE}, ?, 1, ?, ?, ?) {_JOIN}"
_TOGETHER = "sum(number), min(low), sum(mean * number) / sum(number), max(high)"
_OLD = "series > ? AND series <= ? AND step = ? AND at < ?"
_ROLL = f"""{_COLUMNS} SELECT series, {{step}}, at - at % {{step}}, {_TOGETHER}
    FROM samples WHERE {_OLD} GROUP BY 1, 3 {_JOIN}"""
_DROP = f"DELETE FROM samples WHERE {_OLD}"
_SERIES = f"""SELECT at - at % {{width}}, {_TOGETHER} FROM samples
    WHERE series = (SELECT id FROM series WHERE host = :host AND measure = :measure)
    AND step IN ({MINUTE}, {TEN_MINUTES}, {HOUR}) AND at >= :since AND at < :until
    GROUP BY 1 ORDER BY 1"""
_HISTORY = f"""SELECT host, measure, at - at % {{width}}, sum(mean * number) / sum(number)
    FROM samples JOIN series ON series.id = samples.series
    WHERE ({{wanted}}) AND step IN ({MINUTE}, {TEN_MINUTES}, {HOUR}) AND at >= :since
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_MEASURES = """SELECT measure FROM series WHERE host = :host
    AND EXISTS (SELECT 1 FROM samples WHERE samples.series = series.id) ORDER BY measure"""


@dataclass(frozen=True)
class Point:
    """One step of a series."""

    at: datetime  # aware, its beginning
    low: float
    mean: float
    high: float


class Samples:
    """The values of each host and measure. Blocking: for worker threads; OpsError if the database fails."""

    def __init__(
        self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database, self._now = database, now
        self._ids: dict[tuple[str, str], int] = {}  # of the series; they never change
        self._pruned_at: datetime | None = None
        self._pruning = threading.Lock()
        self.keep = KEEP

    def add(self, at: datetime, values: Iterable[tuple[str, str, float]]) -> None:
        """Take values that were measured `at` a time, each with its host and measure, in one transaction."""
        minute = int(at.timestamp()) // MINUTE * MINUTE
        known = [(host, measure, value) for host, measure, value in values if math.isfinite(value)]
        if known:
            with self._database.append() as connection:
                self._name(connection, {(host, measure) for host, measure, _ in known})
                connection.executemany(
                    _ADD,
                    [(self._ids[host, name], minute, *[value] * 3) for host, name, value in known],
                )
        if self._pruned_at is None or self._now() - self._pruned_at >= PRUNED:
            self.prune()

    def _name(self, connection: Any, names: set[tuple[str, str]]) -> None:
        """See that each series has its number."""
        if new := names - self._ids.keys():
            connection.executemany(_NAME, sorted(new))
            found = connection.execute(_KNOWN)
            self._ids = {(host, measure): number for number, host, measure in found}

    def series(
        self, host: str, measure: str, since: datetime, until: datetime, points: int = 200
    ) -> list[Point]:
        """What is known of a measure in that time, oldest first, in at most `points` (2 or more) steps of equal length.

        A step without a value is left out; where only coarser ones are kept, they lie further apart.
        """
        first, last = int(since.timestamp()), int(until.timestamp())
        # one less, for the first and the last step may both be only a part of one
        width = math.ceil((last - first) / max(points - 1, 1) / MINUTE) * MINUTE or MINUTE
        # what was measured in the second that `until` is in the middle of counts, too
        wanted = {"host": host, "measure": measure, "since": first}
        wanted["until"] = math.ceil(until.timestamp())
        rows = self._read(_SERIES.format(width=width), wanted)
        return [
            Point(datetime.fromtimestamp(at, UTC), low, mean, high)
            for at, _, low, mean, high in rows
        ]

    def history(
        self, beginnings: Sequence[str], hosts: Collection[str], since: datetime, width: timedelta
    ) -> dict[tuple[str, str], list[tuple[float, float]]]:
        """Seconds and mean, in steps of `width`, of all measures of these hosts that begin so, by host and measure."""
        steps = max(int(width.total_seconds()) // MINUTE, 1) * MINUTE
        wanted = " OR ".join(f"measure LIKE :m{n}" for n in range(len(beginnings)))
        values: dict[str, Any] = {f"m{n}": f"{word}%" for n, word in enumerate(beginnings)}
        values["since"] = int(since.timestamp())
        if len(hosts) == 1:
            wanted, values["host"] = f"({wanted}) AND host = :host", next(iter(hosts))
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for host, measure, at, mean in self._read(
            _HISTORY.format(width=steps, wanted=wanted), values
        ):
            if host in hosts:
                found.setdefault((host, measure), []).append((float(at), mean))
        return found

    def measures(self, host: str) -> list[str]:
        """The measures of which there are values of `host`."""
        return [measure for (measure,) in self._read(_MEASURES, {"host": host})]

    def _read(self, query: str, values: dict[str, Any]) -> Sequence[Any]:
        from sqlalchemy import text

        with self._database.read() as connection:
            return connection.execute(text(query), values).all()

    def prune(self) -> None:
        """Make old steps longer, and throw away what is older than `keep`."""
        if not self._pruning.acquire(blocking=False):
            return  # another thread is at it
        try:
            now = self._pruned_at = self._now()
            seconds = int(now.timestamp())
            with self._database.append() as connection:
                [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM series").fetchall()
            for first in range(0, last, SERIES):
                self._prune(first, seconds)
        finally:
            self._pruning.release()

    def _prune(self, first: int, now: int) -> None:
        """Of some series, in one transaction."""
        with self._database.append() as connection:
            for step, age, longer in BECOMES:
                # only whole longer steps, so that none is made twice
                old = (first, first + SERIES, step, (now - age) // longer * longer)
                connection.execute(_ROLL.format(step=longer), old)
                connection.execute(_DROP, old)
            gone = now - int(self.keep.total_seconds())
            for step in (MINUTE, TEN_MINUTES, HOUR):
                connection.execute(_DROP, (first, first + SERIES, step, gone))
