"""What the bot says: fitted to the room the server leaves, queued, held for !more, kept over a lost connection."""

from __future__ import annotations

import itertools
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ircops import config
from ircops.call import Kind
from ircops.irc import render
from ircops.irc.pacing import Pacer, Priority
from ircops.irc.protocol import build, parse
from ircops.irc.roster import Person, Roster

log = logging.getLogger(__name__)

FRESH = 300.0  # seconds; what could not be said for longer is no news any more
WAITING = 500  # messages kept while they cannot be said
TEXT_SIZE = 8000  # characters of one line of an answer; nobody reads more in a channel
HELD_SIZE = 200_000  # characters held of one answer
HELD_ANSWERS = 100  # for !more: one a caller
COLOURLESS = frozenset(
    "cS"
)  # channel modes under which a server drops, or strips, what has colours


@dataclass(frozen=True)
class Message:
    """One line to a channel, or to a person; its text is ready for the wire."""

    priority: Priority
    verb: str  # PRIVMSG or NOTICE
    where: str  # the channel; "" = to `person` in private
    person: Person | None
    text: str
    since: float  # when it was first to be said
    key: str = ""  # a newer message with the same key replaces one that waits


class Voice:
    """All that the bot says on one network. On the loop."""

    def __init__(
        self, settings: config.Settings, roster: Roster, pacer: Pacer, now: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.roster = roster
        self.now = now
        self._pacer = pacer
        self._waiting: deque[Message] = deque()
        self._held: OrderedDict[tuple[str, str], list[str]] = OrderedDict()

    # -- saying --

    def say(self, message: Message) -> None:
        """Send it, or keep it until its channel or person can be reached again."""
        target = message.where
        if message.person is not None and not target:
            target = self.roster.nick_of(message.person)
        elif not self.roster.is_joined(target):
            target = ""
        if not target:
            self._wait(message)
            return
        texts, room = [message.text], self.room(message.verb, target)
        if len(message.text.encode()) > room:  # it was fitted under a shorter name of ours
            texts = render.lines(message.text, room, colour=False)
        for text in texts:
            self._pacer.send(message.priority, build(message.verb, target, text), message.key)

    def room(self, verb: str, target: str) -> int:
        """Bytes of text that reach everybody: the server puts our nick!user@host first and cuts what is over."""
        around = len(f": {verb} {target} :\r\n".encode())
        return self.roster.isupport.linelen - around - self.roster.prefix_size

    def look(self, where: str) -> tuple[config.Channel, bool]:
        """The settings of a channel, and whether colours can be seen in it."""
        channel = self.settings.channel(where)
        return channel, channel.colour and not COLOURLESS & self.roster.modes(where)

    # -- while nobody can be reached --

    def _wait(self, message: Message) -> None:
        if message.priority is Priority.PROGRESS:
            return
        if len(self._waiting) >= WAITING:
            _lost(self._waiting.popleft(), "too many wait")
        self._waiting.append(message)

    def keep(self, lines: Iterable[bytes]) -> None:
        """Keep what the pacer could not send; call it before the roster forgets who has which nick."""
        for line in filter(None, map(parse, lines)):
            target, text = line.param(0), line.param(1)
            if line.command not in ("PRIVMSG", "NOTICE"):
                continue
            is_channel = self.roster.isupport.is_channel(target)
            person = None if is_channel else self.roster.person(target) or Person(target)
            where = target if is_channel else ""
            self._wait(Message(Priority.ANSWER, line.command, where, person, text, self.now()))

    def deliver(self) -> None:
        """Say what waits and can be said now; give up what is too old."""
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            if self.now() - message.since >= FRESH:
                _lost(message, f"not reached for {FRESH / 60:.0f} minutes")
            else:
                self.say(message)

    @property
    def due(self) -> float:
        return self._waiting[0].since + FRESH if self._waiting else math.inf

    def tick(self, now: float) -> list[bytes]:
        if now >= self.due:
            self.deliver()
        return []

    def give_up(self) -> None:
        """The bot stops: what waits is lost."""
        while self._waiting:
            _lost(self._waiting.popleft(), "the bot stopped")

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


def _lost(message: Message, why: str) -> None:
    to = message.where or (message.person.nick if message.person else "")
    log.warning("lost a line to %s: %s", to, why)


class Outlet:
    """The words of one call, or of a report when `person` is None. See `ircops.call.Outlet`."""

    _numbers = itertools.count()

    def __init__(self, voice: Voice, where: str, person: Person | None) -> None:
        self._voice, self._where, self._person = voice, where, person
        self._key = f"progress-{next(self._numbers)}"
        self._said = 0  # messages of the answer
        self._held: list[str] = []
        self._held_size = 0
        self._not_held = 0  # lines

    def write(self, kind: Kind, text: str) -> None:
        """Say one line, or hold it when the answer has said its share."""
        if len(text) > TEXT_SIZE:
            text = text[:TEXT_SIZE] + " …"
        if kind not in (Kind.ANSWER, Kind.REPORT):
            self._say(kind, self._fit(kind, text, is_addressed=True))
            return
        share = self._voice.look(self._where)[0].lines - self._said
        if self._held or share <= 0:
            self._hold(text)
            return
        texts = self._fit(kind, text, is_addressed=not self._said)
        self._said += len(texts[:share])
        self._say(kind, texts[:share])
        for rest in texts[share:]:
            self._hold(render.plain(rest))

    def finish(self) -> None:
        """Say how much is held, or the line itself if it takes no more room than that."""
        held, self._held = self._held, []
        if not held:
            return
        texts = self._fit(Kind.ANSWER, held[0])
        if len(held) > 1 or len(texts) > 1:
            self._voice.hold(self._where, self._person, held)
            rest = f", and {self._not_held} not kept" if self._not_held else ""
            lines = f"{len(held)} more lines" if len(held) > 1 else "1 more line"
            more = f"… {lines}: {self._voice.settings.bot.prefix}more{rest}"
            texts = self._fit(Kind.ANSWER, more)
        self._say(Kind.ANSWER, texts)

    def more(self) -> list[str]:
        """Give what is held for this caller here, and forget it."""
        return self._voice.held(self._where, self._person)

    def _hold(self, text: str) -> None:
        self._held_size += len(text) + 1
        if self._held_size > HELD_SIZE:
            self._not_held += 1
        else:
            self._held.append(text)

    def _fit(self, kind: Kind, text: str, is_addressed: bool = False) -> list[str]:
        target = self._where or (self._person.nick if self._person else "")
        if is_addressed and self._where and self._person:
            text = f"{self._person.nick}: {text}"
        _, colour = self._voice.look(self._where)
        return render.lines(text, self._voice.room(self._verb(kind), target), colour)

    def _say(self, kind: Kind, texts: list[str]) -> None:
        if self._person is None and kind is Kind.ANSWER:
            kind = Kind.REPORT
        key = ""
        if kind is Kind.PROGRESS:  # short, and replaced by the next
            key, texts = self._key, texts[:1]
        where = (self._verb(kind), self._where, self._person)
        for text in texts:
            self._voice.say(Message(Priority[kind.name], *where, text, self._voice.now(), key))

    def _verb(self, kind: Kind) -> str:
        """What nobody asked for is a NOTICE, which no bot may answer (RFC 2812 §3.3.2)."""
        if self._person is None or kind is Kind.REPORT:
            return "NOTICE"
        return self._voice.look(self._where)[0].reply.upper()
