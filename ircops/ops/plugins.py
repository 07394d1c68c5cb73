"""What a Nagios plugin says: its exit code is the state, its first line the words, and after a `|` come values.

https://www.monitoring-plugins.org/doc/guidelines.html, "Plugin Output for Nagios"
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 120  # characters of its words; what is longer is cut
MOST_VALUES = 20  # of one check on one host

_VALUE = re.compile(
    r"(?:'((?:[^']|'')+)'|([^\s='|]+))=(-?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?)([^\s;\d]*)"
)
_SCALES = {"us": 1e-6, "ms": 1e-3, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_STATE = re.compile(r"^(?:\S+ )?(?:OK|WARNING|CRITICAL|UNKNOWN)(?: ?[:-]+ ?| )")


class State(enum.IntEnum):
    """The exit code of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True)
class Outcome:
    """What one check came to, of one host."""

    check: str
    host: str
    state: State
    text: str = ""
    values: tuple[tuple[str, float], ...] = ()  # label and number, in seconds and bytes

    @property
    def measures(self) -> Iterator[tuple[str, float]]:
        """As samples are named: `CHECK:LABEL`."""
        return ((f"{self.check}:{label}", value) for label, value in self.values)


def outcome(check: str, host: str, exit_code: int, output: str) -> Outcome:
    """Read what a plugin printed; never raises."""
    lines = output.strip().splitlines() or [""]
    first, _, performance = lines[0].partition("|")
    for line in lines[1:]:  # more words, and after a | more values
        performance += " " + line.partition("|")[2]
    state = State(exit_code) if exit_code in set(State) else State.UNKNOWN
    text = first.strip(" ;") or (f"exit {exit_code}" if exit_code else "ok")
    return Outcome(check, host, state, _short(text), tuple(_values(performance))[:MOST_VALUES])


def _values(performance: str) -> Iterator[tuple[str, float]]:
    for quoted, plain, number, unit in _VALUE.findall(performance):
        label = quoted.replace("''", "'") or plain
        yield label.strip(), float(number.replace(",", ".")) * _SCALES.get(unit, 1)


def _short(text: str) -> str:
    """Without the state in front, which is said otherwise, and not too long."""
    text = _STATE.sub("", text) or text
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"
