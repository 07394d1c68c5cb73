"""After a gap: say in each channel how long we were deaf, and ask the server what was said meanwhile.

What comes back (IRCv3 draft/chathistory, in a batch) goes to the transcript, as all lines do. The commands
in it are named and not run: their moment has passed, and whoever gave them may have done something else since.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ircops.irc.channels import BOT_TAGS, Joins
from ircops.irc.protocol import Line, build
from ircops.irc.roster import Roster

LEAST = 30.0  # seconds of deafness that are worth a line
PATIENCE = 10.0  # seconds for each page of the history to come
PAGE = 100  # lines asked for at once, if the server does not want less
PAGES = 50  # asked for after one gap
NAMED = 5  # commands that are named; the rest is counted
TEXT = 60  # characters of a command that are named

HISTORY = ("draft/chathistory", "chathistory")  # the capability


@dataclass
class _Gap:
    since: datetime
    why: str
    until: datetime | None = None  # when we were in again
    due: float = math.inf  # when the history is no longer waited for
    lines: int = 0
    pages: int = 0
    page: int = 0  # lines of this page
    last: datetime | None = None  # when the newest of them was said
    is_known: bool = False  # the server has told us all of it
    missed: list[str] = field(default_factory=list)  # commands


class Gaps:
    """`feed` it every line after the joins. Times are of a clock that never goes back, and of `wall`'s.

    `is_command` says whether a text, said in a channel, would have been one; `say(channel, text)` says it.
    """

    def __init__(
        self,
        roster: Roster,
        joins: Joins,
        is_command: Callable[[str], bool],
        say: Callable[[str, str], None],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._roster, self._joins = roster, joins
        self._is_command, self._say, self._wall = is_command, say, wall
        self._last: Line | None = None  # that we heard
        self._last_at: datetime | None = None  # by our clock, where the server shows none
        self._gaps: dict[str, _Gap] = {}  # by channel, as the settings write it
        self._batches: dict[str, str] = {}  # open ones with history -> channel

    @property
    def due(self) -> float:
        return min((gap.due for gap in self._gaps.values()), default=math.inf)

    def tick(self, now: float) -> list[bytes]:
        """Wait no longer for a server that does not tell its history."""
        for channel in [name for name, gap in self._gaps.items() if now >= gap.due]:
            self._tell(channel)
        return []

    def end(self, why: str) -> None:
        """The connection is gone; call it before the roster forgets where we were."""
        self._batches.clear()
        for channel in self._joins.names:
            if self._roster.is_joined(channel):
                self._open(channel, why)
        for gap in self._gaps.values():
            gap.until, gap.due = None, math.inf

    def feed(self, line: Line, now: float) -> list[bytes]:
        if "batch" not in line.tags:
            self._last = line
            self._last_at = None if "time" in line.tags else self._wall()
        elif channel := self._batches.get(line.tags["batch"]):
            self._read(channel, line)
            return []
        is_me, param = self._roster.is_me, line.param
        match line.command:
            case "JOIN" if is_me(line.nick):
                return self._back(self._joins.name(param(0)), now)
            case "KICK" if is_me(param(1)):
                self._open(self._joins.name(param(0)), f"kicked by {line.nick}")
            case "PART" if is_me(line.nick):
                self._open(self._joins.name(param(0)), "made to leave")
            case "BATCH" if param(0).startswith("+") and param(1) == "chathistory":
                self._batches[param(0)[1:]] = self._joins.name(param(2))
            case "BATCH" if param(0).startswith("-"):
                channel = self._batches.pop(param(0)[1:], "")
                return self._ended(channel, now) if channel else []
            case "FAIL" if param(0) == "CHATHISTORY":
                for channel in filter(None, map(self._joins.name, line.params[2:])):
                    self._tell(channel)
        return []

    # -- a gap, from its beginning to its end --

    @property
    def _heard(self) -> datetime | None:
        """When we last heard anything, by the server's clock if it shows it."""
        if self._last is None:
            return None
        return self._last_at or self._last.at or self._wall()

    def _open(self, channel: str, why: str) -> None:
        """We hear `channel` no more; a gap that is not told yet goes on."""
        if channel:
            self._gaps.setdefault(channel, _Gap(self._heard or self._wall(), why)).until = None

    def _back(self, channel: str, now: float) -> list[bytes]:
        gap = self._gaps.get(channel)
        if gap is None:
            return []
        gap.until = self._heard or self._wall()
        gap.pages, gap.lines, gap.missed = 0, 0, []
        if not self._roster.caps.isdisjoint(HISTORY):
            return self._ask(channel, gap, gap.since, now)
        self._tell(channel)
        return []

    def _ask(self, channel: str, gap: _Gap, after: datetime, now: float) -> list[bytes]:
        gap.due, gap.page = now + PATIENCE, 0
        gap.pages += 1
        moment = after.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return [build("CHATHISTORY", "AFTER", channel, f"timestamp={moment}", str(self._limit))]

    @property
    def _limit(self) -> int:
        most = self._roster.isupport.chathistory
        return min(PAGE, most) if most else PAGE

    def _read(self, channel: str, line: Line) -> None:
        """Take a line of the history."""
        gap, at = self._gaps.get(channel), line.at
        if gap is None or gap.until is None or at is None:
            return
        gap.page += 1
        gap.last = at
        if at >= gap.until or line.command not in ("PRIVMSG", "NOTICE"):
            return  # what was said since, we have heard
        if self._roster.is_me(line.nick):
            return
        gap.lines += 1
        is_bot = not BOT_TAGS.isdisjoint(line.tags)
        if line.command == "PRIVMSG" and not is_bot and self._is_command(line.param(1)):
            gap.missed.append(f"{line.nick} {_short(line.param(1))} ({at:%H:%M})")

    def _ended(self, channel: str, now: float) -> list[bytes]:
        """A page is complete: ask for the next, or tell."""
        gap = self._gaps.get(channel)
        if gap is None or gap.until is None or gap.due == math.inf:
            return []  # the server plays its history by itself
        if gap.page >= self._limit and gap.pages < PAGES and gap.last:
            return self._ask(channel, gap, gap.last, now)
        gap.is_known = True
        self._tell(channel)
        return []

    def _tell(self, channel: str) -> None:
        gap = self._gaps.pop(channel, None)
        if gap is None or gap.until is None:
            return
        if (gap.until - gap.since).total_seconds() > LEAST:
            heard = "heard nothing meanwhile"
            if gap.is_known:
                heard = f"{gap.lines or 'no'} line{'s' * (gap.lines != 1)} said meanwhile"
            self._say(channel, f"back after {span(gap.since, gap.until)}: {gap.why}; {heard}")
        if gap.missed:
            self._say(channel, f"not run: {_some(gap.missed)}")


def span(since: datetime, until: datetime) -> str:
    """`4 min (21:03-21:07 UTC)`, with the days if it was more than one."""
    seconds = (until - since).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * size or unit == "s":
            break
    form = "%H:%M" if since.date() == until.date() else "%Y-%m-%d %H:%M"
    return f"{seconds / size:.0f} {unit} ({since:{form}}-{until:{form}} UTC)"


def _short(text: str) -> str:
    return text if len(text) <= TEXT else text[:TEXT] + "…"


def _some(words: Iterable[str]) -> str:
    words = [*words]
    more = f" · and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return " · ".join(words[:NAMED]) + more
