"""All that the bot says on one network: whom to, under which nick now, and what becomes of it when nobody can be reached.

Nothing said is lost without a word: what a lost connection did not confirm, and what was said while there was
none, is said when its channel or person is there again, with its age; what is too old by then is counted, and the
channel is told.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from ircops import config
from ircops.irc import multiline, render
from ircops.irc.pacing import Pacer
from ircops.irc.protocol import NO_TAGS, Line, build
from ircops.irc.queue import LIMIT, Parcel, Priority
from ircops.irc.roster import Person, Roster

log = logging.getLogger(__name__)

FRESH = 300.0  # seconds; what could not be said for longer is no news any more
AGED = 10.0  # seconds; from then on it matters how old a line is
TOLD = 5.0  # seconds after a line was lost that the channel is told: then more may have been
HELD_ANSWERS = 100  # for !more: one a caller
COLOURLESS = frozenset(
    "cS"
)  # channel modes under which a server drops, or strips, what has colours


class Message(NamedTuple):
    """Lines to a channel, or to a person, that belong together; their texts are ready for the wire."""

    priority: Priority
    verb: str  # PRIVMSG or NOTICE
    where: str  # the channel; "" = to `person` in private
    person: Person | None
    texts: tuple[str, ...]
    since: float  # when it was first to be said
    key: str = ""  # a newer message with the same key replaces one that waits
    reply_to: str = ""  # the msgid of the line it answers


@dataclass
class _Loss:
    lines: int
    first: datetime  # when they were to be said
    last: datetime


class Voice:
    """`now` and `call_later` are the loop's; `clock` says what people's clocks say. On the loop."""

    def __init__(
        self,
        settings: config.Settings,
        roster: Roster,
        pacer: Pacer,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.settings = settings
        self.roster = roster
        self.now = now
        self.call_later = call_later
        self._typing: dict[str, float] = {}  # when it was shown that we type, to whom (folded)
        self._clock = clock
        self._pacer = pacer
        self._pacer.on_drop = self._dropped
        self._limits = multiline.NONE
        self._waiting: deque[Message] = deque()
        self._losses: dict[str, _Loss] = {}
        self.lost = 0  # lines in all
        self._tell_at = math.inf
        self._held: OrderedDict[tuple[str, str], list[str]] = OrderedDict()

    def feed(self, line: Line) -> None:
        """Take a line, after the registration and the roster did."""
        if line.command in ("PRIVMSG", "NOTICE", "TAGMSG"):
            if self.roster.is_me(line.nick) and "echo-message" in self.roster.caps:
                self._pacer.echoed(build(line.command, *line.params))
        elif line.command == "CAP":
            self._limits = multiline.offered(line) or self._limits

    # -- saying --

    def say(self, message: Message, age: str = "") -> None:
        """Send it, or keep it until its channel or person can be reached again; `age` goes in front."""
        target = message.where
        if message.person is not None and not target:
            target = self.roster.nick_of(message.person)
        elif not self.roster.is_joined(target):
            target = ""
        if not target:
            self._wait(message)
            return
        if self._typing:
            self._typing.pop(self.roster.fold(target), None)
        first, *others = message.texts
        texts, room = [age + first, *others], self.room(message.verb, target)
        if any(len(text.encode()) > room for text in texts):  # fitted under a shorter name of ours
            texts = [line for text in texts for line in render.lines(text, room, colour=False)]
        is_known = bool(message.reply_to) and self.may_tag("draft/reply")
        tags = {"+draft/reply": message.reply_to} if is_known else NO_TAGS
        overhead = len(f"@batch=m12345 {message.verb} {target} :\r\n")
        for portion in multiline.portions(texts, self.limits, overhead):
            kept = (portion[0].removeprefix(age), *portion[1:])  # it ages on
            cargo = message if kept == message.texts else message._replace(texts=kept)
            if len(portion) == 1:
                lines = [build(message.verb, target, portion[0], tags=tags)]
            else:
                lines = multiline.batch(message.verb, target, portion, tags)
            self._pacer.send(message.priority, *lines, key=message.key, cargo=cargo)
            age, tags = "", NO_TAGS

    def type(self, target: str, seconds: float) -> None:
        """Show that we type, once in `seconds` at most, unless anything else has to leave."""
        place, now = self.roster.fold(target), self.now()
        since = now - self._typing.get(place, -math.inf)
        is_due = since >= seconds - 0.1  # timers come a bit early
        if is_due and self._hint(target, "active"):
            self._typing[place] = now

    def stop_typing(self, target: str) -> None:
        """Show that we do not, unless something was said since."""
        if self._typing.pop(self.roster.fold(target), None) is not None:
            self._hint(target, "done")

    def _hint(self, target: str, state: str) -> bool:
        if not self._pacer.is_at_ease:
            return False
        line = build("TAGMSG", target, tags={"+typing": state})
        self._pacer.send(Priority.PROGRESS, line)
        return True

    def may_tag(self, tag: str) -> bool:
        """The server lets the client-only tag `+tag` through (IRCv3 message-tags, CLIENTTAGDENY)."""
        denied = self.roster.isupport.denied_tags
        is_denied = tag in denied or ("*" in denied and f"-{tag}" not in denied)
        return "message-tags" in self.roster.caps and not is_denied

    @property
    def limits(self) -> multiline.Limits:
        """Of a message of many lines."""
        return self._limits if multiline.CAP in self.roster.caps else multiline.NONE

    def room(self, verb: str, target: str) -> int:
        """Bytes of text that reach everybody: the server puts our nick!user@host first and cuts what is over."""
        around = len(": ") + len(verb) + len(" ") + len(target.encode()) + len(" :\r\n")
        return self.roster.isupport.linelen - around - self.roster.prefix_size

    def shows_colours(self, where: str) -> bool:
        """Colours are wanted in `where`, and can be seen there."""
        return self.settings.channel(where).colour and not COLOURLESS & self.roster.modes(where)

    # -- while nobody can be reached --

    def _wait(self, message: Message) -> None:
        if message.priority is Priority.PROGRESS:
            return
        if len(self._waiting) >= LIMIT:
            self._lose(self._waiting.popleft(), "too many wait")
        self._waiting.append(message)

    def keep(self, parcels: Iterable[Parcel]) -> None:
        """Keep what the pacer has not brought there; the server's word on it died with the connection."""
        self._typing.clear()
        for parcel in parcels:
            if isinstance(parcel.cargo, Message):
                self._wait(parcel.cargo)

    def deliver(self) -> None:
        """Say what waits and can be said now, and how old it is; give up what is too old."""
        waiting, self._waiting = self._waiting, deque()
        marked: dict[tuple[str, Person | None], float] = {}  # how old the last one was that says so
        for message in waiting:
            age, place = self.now() - message.since, (message.where, message.person)
            if age >= FRESH:
                self._lose(message, f"not reached for {FRESH / 60:.0f} minutes")
            elif age < AGED or marked.get(place, math.inf) - age < AGED:
                self.say(message)
            else:
                marked[place] = age
                self.say(
                    message, f"({age:.0f} s ago) " if age < 100 else f"({age / 60:.0f} min ago) "
                )
        self._tell()

    def _tell(self) -> None:
        """Say in each channel that we are in how much of what was for it is lost."""
        self._tell_at = math.inf
        for where in [where for where in self._losses if self.roster.is_joined(where)]:
            loss = self._losses.pop(where)
            first, last = f"{loss.first:%H:%M}", f"{loss.last:%H:%M}"
            when = f"at {first}" if first == last else f"between {first} and {last}"
            lines = "1 line" if loss.lines == 1 else f"{loss.lines} lines"
            text = f"{lines} could not be delivered {when}"
            self.say(Message(Priority.REPORT, "NOTICE", where, None, (text,), self.now()))

    @property
    def due(self) -> float:
        return min(self._waiting[0].since + FRESH if self._waiting else math.inf, self._tell_at)

    def tick(self, now: float) -> list[bytes]:
        if now >= self.due:
            self.deliver()
        return []

    def give_up(self) -> None:
        """The bot stops: what waits is lost."""
        while self._waiting:
            self._lose(self._waiting.popleft(), "the bot stopped")

    def _dropped(self, parcel: Parcel) -> None:
        if isinstance(parcel.cargo, Message) and parcel.priority is not Priority.PROGRESS:
            self._lose(parcel.cargo, "too many wait for the server")

    def _lose(self, message: Message, why: str) -> None:
        to = message.where or (message.person.nick if message.person else "")
        self.lost += len(message.texts)
        for _ in message.texts:
            log.warning("lost a line to %s: %s", to, why)
        if not message.where:
            return  # whoever asked in private may never come back; the log has it
        at = self._clock() - timedelta(seconds=self.now() - message.since)
        loss = self._losses.setdefault(message.where, _Loss(0, at, at))
        loss.lines += len(message.texts)
        loss.first, loss.last = min(loss.first, at), max(loss.last, at)
        self._tell_at = min(self._tell_at, self.now() + TOLD)

    # -- held for !more --

    def hold(self, where: str, person: Person | None, texts: list[str]) -> None:
        """Hold `texts` for the one who asked, in place of what was held before; for anybody if nobody asked."""
        key = self._key(where, person)
        self._held[key] = texts
        self._held.move_to_end(key)
        if len(self._held) > HELD_ANSWERS:
            self._held.popitem(last=False)

    def held(self, where: str, person: Person | None) -> list[str]:
        """Give what is held for `person`, else for anybody, and forget it."""
        own = self._held.pop(self._key(where, person), None)
        return own or self._held.pop(self._key(where, None), [])

    def _key(self, where: str, person: Person | None) -> tuple[str, str]:
        return self.roster.fold(where), person.identity if person else ""
