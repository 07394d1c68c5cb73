"""The channels we are to be in, and which of the lines said there, or to us in private, are calls."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from ircops import config
from ircops.call import SERVICES_AWAY, Call, Reply, Sender
from ircops.irc import render
from ircops.irc.busy import Busy
from ircops.irc.outlet import Outlet
from ircops.irc.protocol import Line, build, split_mask
from ircops.irc.roster import SERVICES, WHO_FIELDS, Roster
from ircops.irc.voice import Voice

log = logging.getLogger(__name__)

# Seconds until we try a channel again: after a kick, after a refusal, at most, and after no answer at all.
KICKED, REFUSED, LONGEST, SILENT = 2.0, 60.0, 600.0, 60.0
SETTLED = 300.0  # seconds in a channel after which a kick is the first one again

# RFC 2812 §5.2, and 437, 477, 489, 520 of those who came later: full, invite only, banned, wrong key, account needed …
_NO_ENTRY = frozenset({"403", "405", "437", "471", "473", "474", "475", "476", "477", "489", "520"})

# A line of ours was not let in: no such nick, no voice, too many targets, colours, a muted person, an account needed …
_NOT_SAID = frozenset({"401", "404", "407", "408", "412", "415", "477", "482", "531", "716"})

# Servers that stamp whole seconds make a line look up to 1 s older than it is; their clocks, kept by NTP, differ by
# less. More would let commands through that were said, and run, before the connection was lost.
CLOCK_SKEW = 1.0  # seconds

BOT_TAGS = frozenset({"bot", "draft/bot", "inspircd.org/bot"})

_COMMAND = re.compile(r"[A-Za-z][\w-]*(?!\S)")
_LETTER = re.compile(r"[^\W_]")


@dataclass
class _Wanted:
    join: config.Join
    due: float = math.inf  # when to try to get in
    tries: int = 0  # in vain, or undone by a kick
    since: float = math.inf  # when we got in

    def wait(self, now: float, first: float) -> float:
        """Put the next try off, twice as long each time; gives the seconds."""
        seconds: float = min(first * 2 ** min(self.tries, 20), LONGEST)
        self.tries += 1
        self.due = now + seconds
        return seconds


class Joins:
    """Gets us into the configured channels, and back in, patiently."""

    def __init__(
        self,
        roster: Roster,
        joins: Iterable[config.Join],
        trouble: Callable[[str, str], None] = lambda channel, sentence: None,
    ) -> None:
        """`trouble(channel, sentence)` hears once of each event; the log, of every line."""
        self._roster, self._trouble = roster, trouble
        self._wanted = [_Wanted(join) for join in joins]
        self._muted: set[str] = set()  # where lines of ours were refused since we came, folded
        self.lost = 0  # lines of ours that the server did not let in

    def name(self, channel: str) -> str:
        """`channel` as it is written in the settings; "" if it is not there."""
        wanted = self._find(channel)
        return wanted.join.name if wanted else ""

    @property
    def names(self) -> list[str]:
        return [wanted.join.name for wanted in self._wanted]

    def shared_with(self, mask: str) -> list[str]:
        """Those of our channels that whoever has this nick!user@host is in at this moment."""
        nick, *address = split_mask(mask)
        person = self._roster.person(nick)
        if person is None or [person.user, person.host] != address:
            return []
        return [name for name in self.names if self._roster.fold(name) in person.channels]

    @property
    def due(self) -> float:
        return min((wanted.due for wanted in self._wanted), default=math.inf)

    def begin(self, now: float) -> list[bytes]:
        """The server has welcomed us."""
        self._wanted = [_Wanted(wanted.join, due=now) for wanted in self._wanted]
        return self.tick(now)

    def end(self) -> None:
        """The connection is gone."""
        for wanted in self._wanted:
            wanted.due = math.inf

    def reload(self, joins: Iterable[config.Join], due: float) -> list[bytes]:
        """Part from what is no longer wanted; what is new is to be joined when it is `due`."""
        old = {self._roster.fold(wanted.join.name): wanted for wanted in self._wanted}
        self._wanted = []
        for join in joins:
            wanted = old.pop(self._roster.fold(join.name), None) or _Wanted(join, due)
            wanted.join = join
            self._wanted.append(wanted)
        return [build("PART", name) for name in old if self._roster.is_joined(name)]

    def tick(self, now: float) -> list[bytes]:
        lines = []
        for wanted in self._wanted:
            if now >= wanted.due and self._roster.is_joined(wanted.join.name):
                wanted.due = math.inf
            elif now >= wanted.due:
                wanted.due = now + SILENT
                key = [wanted.join.key] if wanted.join.key else []
                lines.append(build("JOIN", wanted.join.name, *key))
        return lines

    def feed(self, line: Line, now: float) -> list[bytes]:
        """Take a line, after the roster did."""
        is_me = self._roster.is_me
        match line.command:
            case "JOIN" if is_me(line.nick):
                return self._joined(line.param(0), now)
            case "KICK" if is_me(line.param(1)):
                self._put_out(line.param(0), f"kicked by {line.nick}: {line.param(2)}", now)
            case "PART" if is_me(line.nick):
                self._put_out(line.param(0), "made to leave", now)
            case "INVITE" if is_me(line.param(0)):
                wanted = self._find(line.param(1))
                if wanted and not self._roster.is_joined(wanted.join.name):
                    wanted.due = now
            case numeric if numeric in _NOT_SAID and not self._is_about_a_join(line):
                self._not_said(line.param(1), "".join(line.params[-1:]))
            case numeric if numeric in _NO_ENTRY:
                if wanted := self._find(line.param(1)):
                    is_first, seconds = not wanted.tries, wanted.wait(now, REFUSED)
                    why = f"cannot join {wanted.join.name}: {line.params[-1]}"
                    self._say(wanted.join.name, f"{why}; next try in {seconds:.0f} s", is_first)
        return self.tick(now)

    def _find(self, channel: str) -> _Wanted | None:
        for wanted in self._wanted:
            if channel == wanted.join.name:  # as it mostly is
                return wanted
        fold = self._roster.fold
        folded = fold(channel)
        return next((wanted for wanted in self._wanted if fold(wanted.join.name) == folded), None)

    def _joined(self, channel: str, now: float) -> list[bytes]:
        """Ask who is there, under which account, and how it is set."""
        self._muted.discard(self._roster.fold(channel))
        if wanted := self._find(channel):
            wanted.due, wanted.since = math.inf, now
        who = (WHO_FIELDS,) if self._roster.isupport.whox else ()
        monitor = [build("MONITOR", "+", SERVICES)] if self._roster.isupport.monitor else []
        return [build("WHO", channel, *who), build("MODE", channel), *monitor]

    def _put_out(self, channel: str, why: str, now: float) -> None:
        if wanted := self._find(channel):
            if now - wanted.since > SETTLED:
                wanted.tries = 0
            is_first, seconds = not wanted.tries, wanted.wait(now, KICKED)
            name = wanted.join.name
            self._say(name, f"no longer in {name}: {why}; back in {seconds:.0f} s", is_first)

    def _is_about_a_join(self, line: Line) -> bool:
        """477 has two meanings."""
        return line.command in _NO_ENTRY and not self._roster.is_joined(line.param(1))

    def _not_said(self, target: str, why: str) -> None:
        self.lost += 1
        sentence = f"{target} did not let a line of ours in: {why}"
        folded = self._roster.fold(target)
        is_first = bool(self._find(target)) and folded not in self._muted
        self._muted.add(folded)
        self._say(target, f"{sentence} ({self.lost} lost so far)", is_first)

    def _say(self, channel: str, sentence: str, is_first: bool) -> None:
        log.warning("%s", sentence)
        if is_first:
            self._trouble(channel, sentence)


class Listener:
    """Makes calls of lines, and gives each to `handle` in a task of its own.

    Not acted on: NOTICE, ACTION and all CTCP, what bots say (tag `bot`), our own echo, what comes from a server, to
    part of a channel (STATUSMSG) or to a channel that is not in the settings, and history that is played again.
    """

    def __init__(
        self,
        network: str,
        settings: config.Settings,
        roster: Roster,
        joins: Joins,
        voice: Voice,
        handle: Callable[[Call], Awaitable[object]],
    ) -> None:
        self.settings = settings
        self._network, self._roster, self._joins = network, roster, joins
        self._voice, self._handle = voice, handle
        self._since = 0.0  # the server's clock when we came
        self._calls: set[asyncio.Future[object]] = set()
        self._busy = Busy(voice)

    def feed(self, line: Line) -> None:
        """Take a line, after the roster did."""
        if line.command == "PRIVMSG":
            call = self._call(line)
            if call is not None:
                task = asyncio.ensure_future(self._handle(call))
                self._calls.add(task)  # the loop itself keeps no hold of it
                task.add_done_callback(self._ended)
                self._busy.watch(call, task)
        elif line.command == "001":
            self._since = _timestamp(line)
        elif line.command == "JOIN" and self._roster.is_me(line.nick):
            self._since = _timestamp(line) or self._since

    def _ended(self, call: asyncio.Future[object]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and (error := call.exception()) is not None:
            log.error("a call failed", exc_info=error)

    def _call(self, line: Line) -> Call | None:
        where = self._joins.name(line.param(0))
        if not where and not self._roster.is_me(line.param(0)):
            return None
        said = self._said_to_us(line.param(1), is_private=not where)
        if not said or self._is_ignored(line):
            return None
        person = self._roster.speaker(line)
        fold = self._roster.fold
        sender = Sender(
            door="irc",
            name=line.nick,
            account=person.account,
            mask=line.source,
            network=self._network,
            evidence=person.evidence or SERVICES_AWAY * self._roster.are_services_away,
            person=person.number,
            in_channel=(bool(where) and fold(where) in person.channels)
            or any(fold(name) in person.channels for name in self._joins.names),
        )
        message_id = line.tags.get("msgid", "")
        reply = Reply(Outlet(self._voice, where, person, message_id))
        return Call(sender, said, reply, where, message_id)

    def is_command(self, text: str) -> bool:
        """Said in a channel it would be a call."""
        return bool(self._said_to_us(text, is_private=False))

    def _said_to_us(self, text: str, is_private: bool) -> str:
        """What `text` asks of us: what follows our prefix, or our name and a colon or comma; "" if nothing.

        After the prefix stands a command's name, so that `!!!` is left alone. In private, and to our name, people also
        answer questions of ours: any word will do.
        """
        prefix, me, fold = self.settings.bot.prefix, self._roster.me, self._roster.fold
        text = text.replace(render.JOINER, "").rstrip()  # copied out of an answer of ours
        if text.startswith("\x01"):
            return ""
        if text[len(me) : len(me) + 1] in (":", ",") and fold(text[: len(me)]) == fold(me):
            text, is_private = text[len(me) + 1 :].lstrip(), True
        after = text.removeprefix(prefix)
        if is_private:
            return after if _LETTER.search(after) else ""
        return after if after != text and _COMMAND.match(after) else ""

    def _is_ignored(self, line: Line) -> bool:
        tags = line.tags
        return (
            "!" not in line.source
            or self._roster.is_me(line.nick)
            or not BOT_TAGS.isdisjoint(tags)
            or "batch" in tags  # what is said now comes alone; history comes in a batch
            or ("time" in tags and _timestamp(line) < self._since - CLOCK_SKEW)
        )


def _timestamp(line: Line) -> float:
    """Seconds since 1970 of the line's time; 0 for none, or none that can be read."""
    return line.at.timestamp() if line.at else 0.0
