"""The kinds of values in ircops.ini, as the sections state them; values.py has the reader of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from typing import Annotated, NewType

from ircops import shapes

Seconds = NewType("Seconds", float)  # 90, 90s, 5m, 2h, 1d
Wait = Annotated[Seconds, shapes.above_zero]
Words = tuple[str, ...]  # separated by spaces, commas or new lines
Names = NewType("Names", tuple[str, ...])  # separated by commas or new lines: `schedule run` is one
Megabytes = NewType("Megabytes", int)  # 64 or 64 MB
Percent = NewType("Percent", float)  # 80 or 80%
Where = NewType(
    "Where", str
)  # a database: a file, or a URL, which is a Secret if it has a password
Faults = Iterator[tuple[str, str]]  # a key to look at, `*` = all, and what its [section] has wrong


class Secret(str):
    """A value that is never shown: its repr is stars; `str.__str__` gives it to the one who needs it."""

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@dataclass(frozen=True)
class Hours:
    """`22:00-07:00`: a part of each day; it may go over midnight."""

    begin: time
    end: time

    def __contains__(self, moment: time) -> bool:
        if self.begin < self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"
