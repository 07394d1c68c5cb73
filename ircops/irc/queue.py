"""Lines that wait to leave: by priority, targets in turn, newer progress in the place of older."""

from __future__ import annotations

import itertools
import re
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

LIMIT = 5000  # parcels that may wait

_TARGET = re.compile(rb"(?:@[^ ]* +)?(?:PRIVMSG|NOTICE|TAGMSG|BATCH \+\w+ \S+) +([^ ]+)", re.I)


class Priority(IntEnum):
    """What leaves first."""

    URGENT = 0  # the protocol's own: PONG, QUIT, NICK; never waits
    ERROR = 1
    QUESTION = 2
    ANSWER = 3
    REPORT = 4
    BULK = 5  # of an answer or a report what makes it a long one: a short one asked meanwhile overtakes it
    PROGRESS = 6


@dataclass
class Parcel:
    """What leaves together: a line, or the lines of a batch; each without its CRLF."""

    priority: Priority
    lines: tuple[bytes, ...]
    key: str = ""  # a newer parcel of the same priority, target and key takes its place
    cargo: object = None  # what it delivers, to the one who wants it back if it is not
    number: int = 0

    @property
    def target(self) -> bytes:
        """The channel or nick it goes to, or nothing."""
        match = _TARGET.match(self.lines[0])
        return match[1].lower() if match else b""

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return sum(len(line) + 2 for line in self.lines)


class Queue:
    """Parcels in the order in which they are to leave."""

    def __init__(self) -> None:
        self._size = 0
        self._numbers = itertools.count()
        self._queues: list[dict[bytes, deque[Parcel]]] = [{} for _ in Priority]
        self._keyed: dict[tuple[Priority, bytes, str], Parcel] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, parcel: Parcel) -> None:
        """Line up behind the others of the same priority and target, or take the place of an older one."""
        place = (parcel.priority, target := parcel.target, parcel.key)
        if older := self._keyed.get(place):
            older.lines, older.cargo = parcel.lines, parcel.cargo
            return
        parcel.number = next(self._numbers)
        self._queues[parcel.priority].setdefault(target, deque()).append(parcel)
        self._size += 1
        if parcel.key:
            self._keyed[place] = parcel

    def take(self) -> Parcel:
        """Take the next: of the first priority, of the target whose turn it is."""
        queue = next(queue for queue in self._queues if queue)
        return self._pop(queue, next(iter(queue)))

    def drop(self) -> Parcel:
        """Take the oldest of the last priority."""
        queue = next(queue for queue in reversed(self._queues) if queue)
        return self._pop(queue, min(queue, key=lambda target: queue[target][0].number))

    def _pop(self, queue: dict[bytes, deque[Parcel]], target: bytes) -> Parcel:
        parcels = queue.pop(target)
        parcel = parcels.popleft()
        if parcels:
            queue[target] = parcels  # at the end: the others' turn
        self._keyed.pop((parcel.priority, target, parcel.key), None)
        self._size -= 1
        return parcel
