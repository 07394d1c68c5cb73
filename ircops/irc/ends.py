"""How a connection ends, in the words of the server that hangs up, and how long to wait before the next.

Servers have no code for why, so words decide. Wrong guesses cost little: what we do not know is worth another try,
and the back-off grows.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

from ircops.errors import Refused

THROTTLED = 15.0  # seconds; UnrealIRCd's own measure is 3 connections in 60 s
BANNED = 300.0  # seconds; who knocks more often is banned for longer
REFUSED = 60.0  # seconds; services lock accounts for which too many passwords were tried
MOST_PATIENCE = 3600.0  # seconds between two tries at a server that does not want us now

# Each wait is so many times the one before. Where nobody listens a try costs nobody anything, and the server may
# be up again any moment: then we wait a tenth of the time that it has been away.
GROWTH, GROWTH_REFUSED = 2.0, 1.1

# By an operator, whose words follow: they are no verdict of the server.
_KILL = re.compile(r"\bkill(ed)? (\(|by )", re.IGNORECASE)
_BAN = re.compile(r"\b(banned|[dgkz]-?:?lined?|akill(ed)?)\b", re.IGNORECASE)
_THROTTLE = re.compile(
    r"throttl|too (fast|many|frequent)|try(ing)? to reconnect|reconnecting|connection limit",
    re.IGNORECASE,
)


class Unavailable(Exception):
    """The server, or its services, cannot have us now; it is worth trying again.

    Not before `patience` seconds, though, and twice as long each time it is said again.
    """

    patience = 0.0


class Throttled(Unavailable):
    """We came too often; each new try would count against us."""

    patience = THROTTLED


class Banned(Unavailable):
    """The server will not have us: for good if it never did, since then the settings may be to blame."""

    patience = BANNED


def banned(words: str) -> Unavailable:
    """What to make of 465, or of an ERROR that says as much. Floods of connections are fought with short bans, too."""
    if _THROTTLE.search(words):
        return Throttled(f"closed by the server: {words}")
    return Banned(f"banned by the server: {words}; ask its operators")


def closed(words: str) -> Unavailable:
    """What to make of `ERROR :words`."""
    is_kill = _KILL.search(words)
    if not is_kill and (_BAN.search(words) or _THROTTLE.search(words)):
        return banned(words)
    return Unavailable(f"closed by the server: {words}")


def growth(error: Exception) -> float:
    """How much longer to wait the next time."""
    is_refused = isinstance(error, OSError) and {*numbers(error)} == {errno.ECONNREFUSED}
    return GROWTH_REFUSED if is_refused else GROWTH


def numbers(error: OSError) -> list[int]:
    """Its errno; of several addresses tried (asyncio tells them in words) that of each."""
    if error.errno:
        return [error.errno]
    return [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]


def patience(error: Exception) -> float:
    """Seconds to leave the server alone. Even a refusal may pass when the same settings have worked before."""
    if isinstance(error, Refused):
        return REFUSED
    return error.patience if isinstance(error, Unavailable) else 0.0


class Backoff:
    """How long to wait before trying again: not at all, then longer each time, with jitter.

    Where a server asks for patience it gets that, and twice as much each time it asks again.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self.reset()

    def reset(self) -> None:
        self._seconds, self._asked = 0.0, 0

    def next(
        self, least: float, most: float, patience: float = 0.0, growth: float = GROWTH
    ) -> float:
        """Seconds. `jitter` (0 to 1) keeps all the bots of a network from coming back at one moment."""
        wait = self._seconds
        self._seconds = min(max(wait * growth, least), most)
        if patience:
            self._asked += 1
            seconds = min(patience * 2 ** min(self._asked - 1, 30), MOST_PATIENCE)
            return float(seconds * (1 + self._jitter() / 4))
        return wait * (1 + self._jitter()) / 2
