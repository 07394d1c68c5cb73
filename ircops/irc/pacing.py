"""The outgoing queue: what matters leaves first, and never faster than the server takes it.

The server itself is the clock. After a group of a few lines goes a PING of ours; its PONG says that
everything before it was handled. The invariant: at most two groups, each of `LINES` lines or 3 KiB,
are on their way or in the server's input queue. That kills beyond 8 KiB, so nobody is cut for
flooding; and a server without limits gets lines at the speed of the wire. The PING leaves only when
a group is full and more waits: a bot that says little hardly sends one, and no line waits for it.

A server that takes more than `SLOW` seconds for each line and PING charges for both (InspIRCd's
fakelag). There the clock alone would cost lines, and keep eight where nothing can overtake them. So
lines leave at a pace, ten at once and one a second, with a PING for every eight, which keeps the
invariant. After a while the clock alone is tried again, less and less often where that fails.

All of it runs on the loop, and time is only what `now` and `call_later` say.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

LINES = 4  # of a group, when the PING clock alone sets the speed
LINES_PACED = 8  # of a group, on a server that charges for PINGs as well
GROUP_BYTES = 2560  # closes a group too: with the line that reaches it, 3 KiB
GROUPS = 2  # on their way: one is handled while the other travels
SLOW = 0.6  # seconds a command: ngIRCd takes 0.2, 0.4 when they are long; fakelag takes 1
BURST = 10  # lines such a server takes at once after a rest (fakelag's threshold)
PACES = (1.0, 2.0)  # seconds a line: fakelag's, and that of RFC 1459 §8.10
TRIALS = (30.0, 3600.0)  # seconds at a pace before the clock alone is tried: first, at most
LOST = 60.0  # seconds until a PONG is given up: two paced groups at two seconds a line take 36
LIMIT = 5000  # lines that wait
TOKEN = "ircops-pace-"

_TARGET = re.compile(rb"(?:@[^ ]* +)?(?:PRIVMSG|NOTICE) +([^ ]+)", re.IGNORECASE)


class Priority(IntEnum):
    """What leaves first."""

    URGENT = 0  # the protocol's own: PONG, QUIT, NICK; never waits
    ERROR = 1
    QUESTION = 2
    ANSWER = 3
    REPORT = 4
    PROGRESS = 5


@dataclass
class _Waiting:
    line: bytes
    place: tuple[Priority, bytes, str]  # priority, target, key
    number: int


class _Ping(NamedTuple):
    token: str
    at: float  # by now()
    sent: int  # commands up to and with it, since the connection began
    behind: int  # of them, how many were not confirmed when it left


class Pacer:
    """The lines of one connection on their way out.

    `write` gets one line at a time, CRLF included; `now` is a clock in seconds that never goes
    back; `call_later(seconds, callback)` is the loop's.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        self._write = write
        self._now = now
        self._call_later = call_later
        self.dropped = 0  # lines, since the start
        self._numbers = itertools.count()
        self._clear()

    def _clear(self) -> None:
        self._waiting = 0
        self._queues: list[dict[bytes, deque[_Waiting]]] = [{} for _ in Priority]
        self._keyed: dict[tuple[Priority, bytes, str], _Waiting] = {}
        self._is_dropping = False
        self._sent = self._confirmed = 0  # commands: lines but urgent ones, and PINGs
        self._group_lines = self._group_bytes = 0  # since the last PING
        self._pings: deque[_Ping] = deque()  # not answered yet
        self._pace = 0.0  # seconds a line; 0 = as fast as the PONGs come back
        self._paced_since = 0.0  # or found too slow again
        self._trial = TRIALS[0]
        self._allowance = 0.0  # lines that may leave at once, when paced
        self._allowance_at = 0.0
        self._wake_at: float | None = None

    @property
    def waiting(self) -> int:
        """Lines not sent yet."""
        return self._waiting

    def send(self, priority: Priority, line: bytes, key: str = "") -> None:
        """Send `line`, given without CRLF, as soon as its turn comes; URGENT at once.

        Urgent lines are taken to be few and short: no group counts them. A line that still waits
        under the same priority, target and `key` is replaced where it stands. Beyond `LIMIT` lines
        the oldest of the lowest priority is dropped, counted and logged.
        Raises ValueError for CR, LF or NUL, which would begin another command (RFC 2812 §2.3.1).
        """
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise ValueError("a line to the server must not hold CR, LF or NUL")
        if priority is Priority.URGENT:
            self._put(line)
            return
        match = _TARGET.match(line)
        target = match[1].lower() if match else b""
        place = (priority, target, key)
        if key and place in self._keyed:
            self._keyed[place].line = line
            return
        waiting = _Waiting(line, place, next(self._numbers))
        self._queues[priority].setdefault(target, deque()).append(waiting)
        self._waiting += 1
        if key:
            self._keyed[place] = waiting
        if self._waiting > LIMIT:
            self._drop()
        self._pump()

    def pong(self, token: str) -> bool:
        """Take the server's PONG; False if the PING was not ours."""
        position = next((i for i, ping in enumerate(self._pings) if ping.token == token), None)
        if position is None:
            return token.startswith(TOKEN)  # it comes too late: given up, or of the last connection
        for _ in range(position + 1):  # an answer answers for what went before it, too
            ping = self._pings.popleft()
        self._confirmed = ping.sent
        now = self._now()
        seconds = (now - ping.at) / ping.behind  # of each command the server had to handle first
        if seconds > SLOW:
            self._slow_down(now, seconds)
        elif self._pace and now - self._paced_since > self._trial:
            self._pace = 0.0
            self._trial = min(self._trial * 2, TRIALS[1])
        self._pump()
        return True

    def reset(self) -> list[bytes]:
        """Begin anew, for another connection; give the lines that waited, in order."""
        unsent = [self._take() for _ in range(self._waiting)]
        self._clear()
        return unsent

    def _pump(self) -> None:
        """Send what may leave now, and see to it that somebody comes back for the rest."""
        now = self._now()
        if self._pings and now - self._pings[0].at >= LOST:
            self._pings.clear()
            self._confirmed = self._sent
            self._slow_down(now, self._pace)
        if self._pace:
            gained = (now - self._allowance_at) / self._pace
            self._allowance = min(self._allowance + gained, BURST)
            self._allowance_at = now
        while self._waiting:
            full = self._group_lines >= (LINES_PACED if self._pace else LINES)
            if (full or self._group_bytes >= GROUP_BYTES) and len(self._pings) < GROUPS:
                self._ping(now)
            if len(self._pings) >= GROUPS:
                return self._wake(now, self._pings[0].at + LOST)
            if self._pace and self._allowance < 1:
                return self._wake(now, now + (1 - self._allowance) * self._pace)
            line = self._take()
            self._put(line)
            self._sent += 1
            self._group_lines += 1
            self._group_bytes += len(line) + 2

    def _wake(self, now: float, at: float) -> None:
        if self._wake_at is not None and self._wake_at <= at:
            return
        self._wake_at = at

        def wake() -> None:
            if self._wake_at == at:  # else an earlier one took its place, or all began anew
                self._wake_at = None
                self._pump()

        self._call_later(max(at - now, 0.01), wake)  # rounding must not make us spin

    def _slow_down(self, now: float, seconds: float) -> None:
        """Go over to a pace, with nothing to spare until the server has handled what it has."""
        self._paced_since = now
        self._pace = min(max(seconds, PACES[0]), PACES[1])
        self._allowance = float(self._confirmed - self._sent)
        self._allowance_at = now

    def _ping(self, now: float) -> None:
        token = f"{TOKEN}{next(self._numbers)}"
        self._put(b"PING :" + token.encode())
        self._sent += 1
        self._pings.append(_Ping(token, now, self._sent, self._sent - self._confirmed))
        self._group_lines = self._group_bytes = 0

    def _put(self, line: bytes) -> None:
        self._write(line + b"\r\n")
        self._allowance -= 1

    def _take(self) -> bytes:
        """Take the next line: of the first priority, of the target whose turn it is."""
        queue = next(queue for queue in self._queues if queue)
        return self._pop(queue, next(iter(queue)))

    def _pop(self, queue: dict[bytes, deque[_Waiting]], target: bytes) -> bytes:
        lines = queue.pop(target)
        waiting = lines.popleft()
        if lines:
            queue[target] = lines  # at the end: the others' turn
        self._keyed.pop(waiting.place, None)
        self._waiting -= 1
        if not self._waiting:
            self._is_dropping = False
        return waiting.line

    def _drop(self) -> None:
        queue = next(queue for queue in reversed(self._queues) if queue)
        self._pop(queue, min(queue, key=lambda target: queue[target][0].number))
        self.dropped += 1
        if not self._is_dropping:
            log.warning("more than %d lines wait for the server: the oldest are dropped", LIMIT)
        self._is_dropping = True
