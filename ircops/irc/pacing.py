"""The way out: what matters leaves first, never faster than the server takes it, and until it confirms, it is ours.

The server itself is the clock: a few lines are on their way, and more follow as it confirms them. Where it
has echo-message it says our own lines back, which confirms them. Elsewhere a PING of ours follows each group
of lines; its PONG confirms all before it. The invariant: two groups at most are unconfirmed, each of `LINES`
lines or 3 KiB. That kills beyond 8 KiB, so nobody is cut for flooding; and a server without limits gets lines
at the speed of the wire. One that takes its time is given less at once, so that less is before what is urgent.

A server that takes more than `SLOW` seconds for each line and PING charges for both (InspIRCd's fakelag,
without echoes). There lines leave at a pace, ten at once and one a second, with a PING for every eight. After a
while the clock alone is tried again, ever less often where that fails. An operator may set a pace (`begin`).

What was written and not confirmed when a connection ends may be lost, so `reset` gives it back with what had
not left. A PING after a lull keeps that little. It runs on the loop, and time is what `now` and `call_later` say.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ircops.irc.bucket import Bucket
from ircops.irc.queue import LIMIT, Parcel, Priority, Queue

LINES = 4  # of a group, while the server is quick
LINES_PACED = 8  # of a group, on a server that charges for PINGs as well
LINES_NARROW = 2  # of a group, while it is not; then one group is on its way, not two
GROUP_BYTES = 2560  # closes a group too: with the line that reaches it, 3 KiB
GROUPS = 2  # on their way: one is handled while the other travels
QUICK = 0.1  # seconds a command; ngIRCd takes 0.16, fakelag 1
QUICK_COMMANDS = 15  # in a row are no burst that the server lets pass; fakelag's is 10
SLOW = 0.6  # seconds a command: ngIRCd takes 0.2, 0.4 when they are long; fakelag takes 1
SLOW_TIMES = 3  # in a row; ngIRCd may pause for two seconds, once
BURST = 10  # lines such a server takes at once after a rest (fakelag's threshold)
PACES = (1.0, 2.0)  # seconds a line: fakelag's, and that of RFC 1459 §8.10
TRIALS = (30.0, 3600.0)  # seconds at a pace before the clock alone is tried: first, at most
LULL = 2.0  # seconds after the last line until a PING asks whether it arrived
LULL_ECHO = 10.0  # the same where an echo should have said so; fakelag holds eight lines for 8 s
UNSURE = 50  # lines unconfirmed that make us ask without a lull
LOST = 60.0  # seconds until a PONG is given up: two paced groups at two seconds a line take 36
TOKEN = "ircops-pace-"

NOTHING = Parcel(Priority.URGENT, ())
ECHOED = (b"PRIVMSG ", b"NOTICE ", b"TAGMSG ")


class _Flight(NamedTuple):
    """A parcel on its way, or a PING."""

    at: float  # when it left, by now()
    sent: int  # commands up to and with it, since the connection began
    behind: int  # of them, how many were not confirmed when it left
    echo: bytes  # what the server will say back last; nothing if it will not; of a PING, its token
    parcel: Parcel = NOTHING


class Pacer:
    """The lines of one connection on their way out.

    `write` gets the lines that leave at one moment, each with CRLF; `now` is a clock in seconds that never goes
    back; `call_later(seconds, callback)` is the loop's. `on_drop` is told of what had no room.
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
        self.on_drop: Callable[[Parcel], None] = lambda parcel: None
        self._tokens = itertools.count()
        self.left = 0  # lines, in all connections
        self._clear()

    def _clear(self) -> None:
        self._queue = Queue()
        self._out = bytearray()  # about to be written
        self._sent = self._confirmed = 0  # commands: lines but urgent ones, and PINGs
        self._flights: deque[_Flight] = deque()  # not confirmed yet
        self._flying_bytes = 0
        self._last_at = 0.0  # when the last of them left
        self._group_lines = self._group_bytes = 0  # since the last PING
        self._pings: deque[_Flight] = deque()  # not answered yet
        self._has_echo = False
        self._quick = QUICK_COMMANDS  # in a row; a server is taken to be until we know better
        self._slow_times = 0  # PONGs in a row that were
        self._pace: Bucket | None = None  # None: as fast as confirmations come
        self._is_fixed = False  # the operator set it
        self._paced_since = 0.0  # or found too slow again
        self._trial = TRIALS[0]
        self._wake_at: float | None = None

    @property
    def waiting(self) -> int:
        """Parcels not sent yet."""
        return len(self._queue)

    @property
    def is_at_ease(self) -> bool:
        """Nothing that matters waits or is on its way, and the server is quick: mere courtesy delays nobody."""
        is_flying = any(flight.parcel.cargo is not None for flight in self._flights)
        return not self._queue and not is_flying and self._quick > 0 and self._pace is None

    @property
    def _is_quick(self) -> bool:
        return self._quick >= QUICK_COMMANDS

    def begin(self, has_echo: bool, burst: int = 0, rate: float = 1.0) -> None:
        """Learn what the server does for us (echo-message), and the operator's pace: `rate` a second after `burst` lines."""
        self._has_echo = has_echo
        if burst:
            self._is_fixed = True
            self._pace = Bucket(1 / rate, burst, burst, self._now())

    def send(self, priority: Priority, *lines: bytes, key: str = "", cargo: object = None) -> None:
        """Send `lines`, given without CRLF, together, as soon as their turn comes; URGENT at once.

        Urgent lines are taken to be few and short: no group counts them. A parcel that still waits
        under the same priority, target and `key` is replaced where it stands. Beyond `LIMIT` parcels
        the oldest of the lowest priority goes to `on_drop`. `cargo` comes back with `reset`.
        Raises ValueError for CR, LF or NUL, which would begin another command (RFC 2812 §2.3.1).
        """
        for line in lines:
            if b"\r" in line or b"\n" in line or b"\0" in line:
                raise ValueError("a line to the server must not hold CR, LF or NUL")
        if priority is Priority.URGENT:
            for line in lines:
                self._put(line)
            self._flush()
            return
        parcel = Parcel(priority, lines, key, cargo)
        if not self._queue and self._leaves_at_once(parcel):
            return
        self._queue.add(parcel)
        if len(self._queue) > LIMIT:
            self.on_drop(self._queue.drop())
        self._pump()

    def _leaves_at_once(self, parcel: Parcel) -> bool:
        """Nothing waits before it, so it need not line up."""
        now = self._now()
        if self._pace:
            self._pace.gain(now)
        if not self._may_send(now):
            return False
        self._fly(parcel, now)
        self._plan(now)
        self._flush()
        return True

    def pong(self, token: str) -> bool:
        """Take the server's PONG; False if the PING was not ours."""
        tokens = [ping.echo.decode() for ping in self._pings]
        position = tokens.index(token) if token in tokens else None
        if position is None:
            return token.startswith(TOKEN)  # it comes too late: given up, or of the last connection
        for _ in range(position + 1):  # an answer answers for what went before it, too
            ping = self._pings.popleft()
        now = self._now()
        seconds = self._confirm(ping, now)
        if not self._has_echo and not self._is_fixed:
            self._adapt(now, seconds)
        self._pump()
        return True

    def echoed(self, line: bytes) -> None:
        """Take what the server says that we said, without tags, as `protocol.build` makes it.

        It handles our lines in order, so all before has arrived or was refused. A line that it changed
        (colours stripped, say) is known by its target.
        """
        if self._flights and self._flights[0].echo == line:  # as it mostly is
            self._confirm(self._flights[0], self._now())
            self._pump()
            return
        words = line.split(b" ", 2)[:2]
        same = (flight for flight in self._flights if flight.echo == line)
        single = (flight for flight in self._flights if len(flight.parcel.lines) == 1)
        alike = (flight for flight in single if flight.echo.split(b" ", 2)[:2] == words)
        flight = next(same, None) or next(alike, None)
        if flight is not None:
            self._confirm(flight, self._now())
            self._pump()

    def reset(self, has_taken_all: bool = False) -> list[Parcel]:
        """Begin anew, for another connection; give what was not confirmed and what waited, in order.

        `has_taken_all`: the server answered our QUIT, hence took all that went before.
        """
        unsaid = [] if has_taken_all else [flight.parcel for flight in self._flights]
        unsaid += [self._queue.take() for _ in range(len(self._queue))]
        self._clear()
        return unsaid

    def _confirm(self, last: _Flight, now: float) -> float:
        """The server has handled all up to `last`; gives the seconds that a command took."""
        seconds = (now - last.at) / last.behind
        count = max(last.sent - self._confirmed, 0)
        self._quick = self._quick + count if seconds <= QUICK else 0
        self._confirmed += count
        while self._flights and self._flights[0].sent <= last.sent:
            self._flying_bytes -= self._flights.popleft().parcel.size
        return seconds

    def _adapt(self, now: float, seconds: float) -> None:
        """Leave the clock for a pace, change the pace, or try the clock again."""
        self._slow_times = self._slow_times + 1 if seconds > SLOW else 0
        if self._slow_times >= SLOW_TIMES or (self._slow_times and self._pace):
            self._slow_down(now, seconds)
        elif self._pace and now - self._paced_since > self._trial:
            self._pace = None
            self._trial = min(self._trial * 2, TRIALS[1])

    def _pump(self) -> None:
        """Send what may leave now, and see to it that somebody comes back for the rest."""
        now = self._now()
        if self._pings and now - self._pings[0].at >= LOST:
            self._confirm(self._pings[-1], now)
            self._pings.clear()
            if not self._has_echo and not self._is_fixed:
                self._slow_down(now, self._pace.seconds if self._pace else 0)
        if self._pace:
            self._pace.gain(now)
        while self._queue and self._may_send(now):
            self._fly(self._queue.take(), now)
        self._plan(now)
        self._flush()

    def _may_send(self, now: float) -> bool:
        may_now = self._pace is None or self._pace.is_open
        if self._is_fixed:
            return may_now
        if self._has_echo:
            return self._is_echo_window_open(now)
        lines, groups = (LINES, GROUPS) if self._is_quick else (LINES_NARROW, 1)
        if self._pace:
            lines, groups = LINES_PACED, GROUPS
        is_full = self._group_lines >= lines or self._group_bytes >= GROUP_BYTES
        if is_full and len(self._pings) < groups:
            self._ping(now)
        return len(self._pings) < groups and may_now

    def _is_echo_window_open(self, now: float) -> bool:
        most = LINES * GROUPS if self._is_quick else LINES_NARROW
        if self._sent - self._confirmed < most and self._flying_bytes < GROUP_BYTES * GROUPS:
            return True
        if not self._pings and not any(flight.echo for flight in self._flights):
            self._ping(now)  # JOIN and the like: no echo will open it
        return False

    def _plan(self, now: float) -> None:
        """Ask about what nobody confirmed, and come back when time alone allows more."""
        dues = []
        if self._pings:
            dues.append(self._pings[0].at + LOST)
        elif self._flights:
            due = self._last_at + (LULL_ECHO if self._has_echo else LULL)
            if now >= due or len(self._flights) >= UNSURE:
                self._ping(now)
                due = now + LOST
            dues.append(due)
        if self._queue and self._pace and not self._pace.is_open:
            dues.append(self._pace.opens_at)
        if dues:
            self._wake(now, min(dues))

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
        seconds = min(max(seconds, PACES[0]), PACES[1])
        self._pace = Bucket(seconds, BURST, self._confirmed - self._sent, now)

    def _fly(self, parcel: Parcel, now: float) -> None:
        echo = b""
        for line in parcel.lines:
            self._put(line)
            bare = line.partition(b" ")[2] if line.startswith(b"@") else line
            echo = bare if bare.startswith(ECHOED) else echo
        self._sent += len(parcel.lines)
        self.left += len(parcel.lines)
        self._group_lines += len(parcel.lines)
        self._group_bytes += parcel.size
        self._flying_bytes += parcel.size
        self._last_at = now
        behind = self._sent - self._confirmed
        self._flights.append(_Flight(now, self._sent, behind, echo, parcel))

    def _ping(self, now: float) -> None:
        token = f"{TOKEN}{next(self._tokens)}".encode()
        self._put(b"PING :" + token)
        self._sent += 1
        self._pings.append(_Flight(now, self._sent, self._sent - self._confirmed, token))
        self._group_lines = self._group_bytes = 0

    def _put(self, line: bytes) -> None:
        self._out += line + b"\r\n"
        if self._pace:
            self._pace.spend()

    def _flush(self) -> None:
        """Lines that leave together come together: ngIRCd takes them at twice the speed then."""
        if self._out:
            out, self._out = bytes(self._out), bytearray()
            self._write(out)
