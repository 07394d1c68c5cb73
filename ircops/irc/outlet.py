"""The words of one call, or of a report: who is named, how much is said at once, what is held for !more."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ircops import config
from ircops.call import Kind, Paged
from ircops.irc import render
from ircops.irc.queue import Priority
from ircops.irc.roster import Person
from ircops.irc.voice import Message, Voice

TEXT_SIZE = 8000  # characters of one line of an answer; nobody reads more in a channel
HELD_SIZE = 200_000  # characters held of one answer
BULK_AFTER = 10  # messages of an answer; the rest lets others go first
GATHER = 0.05  # seconds that lines wait for more of their answer, where all can be one message


class Outlet(Paged):
    """The words of one call, or of a report when `person` is None. See `ircops.call.Outlet`.

    `message_id` is the server's, of the line that asked.
    """

    _numbers = itertools.count()

    def __init__(
        self, voice: Voice, where: str, person: Person | None, message_id: str = ""
    ) -> None:
        self._voice, self._where, self._person = voice, where, person
        self._message_id = message_id
        self._key = f"progress-{next(self._numbers)}"
        self._said = 0  # messages of the answer, counted when they come
        self._left = 0  # and when they leave
        self._is_answering = False
        self._gathered: list[str] = []  # of the answer, about to be said
        self._held: list[str] = []
        self._held_size = 0
        self._not_held = 0  # lines

    def write(self, kind: Kind, text: str) -> None:
        """Say one line, or hold it when the answer has said its share."""
        if len(text) > TEXT_SIZE:
            text = text[:TEXT_SIZE] + " …"
        if kind not in (Kind.ANSWER, Kind.REPORT):
            self._flush()
            self._say(kind, self._fit(kind, text, is_addressed=True))
            return
        share = self._channel.lines - self._said
        if self._held or share <= 0:
            self._hold(text)
            return
        texts = self._fit(kind, text, is_addressed=not self._said)
        self._said += len(texts[:share])
        if kind is Kind.ANSWER and self._voice.limits.lines > 1:
            self._gather(texts[:share])
        else:
            self._say(kind, texts[:share])
        for rest in texts[share:]:
            self._hold(render.plain(rest))

    def finish(self) -> None:
        """Say how much is held, or the line itself if it takes no more room than that."""
        held, self._held = self._held, []
        if held:
            texts = self._fit(Kind.ANSWER, held[0])
            if len(held) > 1 or len(texts) > 1:
                self._voice.hold(self._where, self._person, held)
                rest = f", and {self._not_held} not kept" if self._not_held else ""
                lines = f"{len(held)} more lines" if len(held) > 1 else "1 more line"
                more = f"… {lines}: {self._voice.settings.bot.prefix}more{rest}"
                if page := self.page():
                    more += f" · {page}"
                texts = self._fit(Kind.ANSWER, more)
            self._gathered += texts
        self._flush()

    @property
    def _channel(self) -> config.Channel:
        return self._voice.settings.channel(self._where)

    def more(self) -> list[str]:
        """Give what is held for this caller here, and forget it."""
        return self._voice.held(self._where, self._person)

    def _hold(self, text: str) -> None:
        self._held_size += len(text) + 1
        if self._held_size > HELD_SIZE:
            self._not_held += 1
        else:
            self._held.append(text)

    def _gather(self, texts: Iterable[str]) -> None:
        if not self._gathered:
            self._voice.call_later(GATHER, self._flush)
        self._gathered += texts
        if len(self._gathered) >= self._voice.limits.lines:
            self._flush()

    def _flush(self) -> None:
        """Say what was gathered of the answer, as one message where the server takes such."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._say(Kind.ANSWER, gathered)

    def _fit(self, kind: Kind, text: str, is_addressed: bool = False) -> list[str]:
        target = self._where or (self._person.nick if self._person else "")
        is_news = kind >= Kind.ANSWER  # else somebody has to act on it
        if self._where and is_news and self._channel.highlight == "caller":
            text = render.unpinged(text, self._is_bystander)
        if is_addressed and self._where and self._person:
            text = f"{self._person.nick}: {text}"
        has_colour = not text.isprintable() and self._voice.shows_colours(self._where)
        return render.lines(text, self._voice.room(self._verb(kind), target), has_colour)

    def _is_bystander(self, nick: str) -> bool:
        """Somebody in the channel has this nick who is not spoken to."""
        roster = self._voice.roster
        person = roster.person(nick)
        is_here = person is not None and roster.fold(self._where) in person.channels
        return is_here and person is not self._person

    def _say(self, kind: Kind, texts: list[str]) -> None:
        if self._person is None and kind is Kind.ANSWER:
            kind = Kind.REPORT
        key, reply_to = "", self._message_id
        if kind is Kind.PROGRESS:  # short, and replaced by the next
            key, texts = self._key, texts[:1]
        if (
            kind is Kind.ANSWER
        ):  # clients quote the question with each line that is marked as a reply
            reply_to = "" if self._is_answering else reply_to
            self._is_answering = True
        parts = [tuple(texts)] if self._voice.limits.lines > 1 else [(text,) for text in texts]
        where = (self._verb(kind), self._where, self._person)
        for part in parts:
            priority, since = Priority[kind.name], self._voice.now()
            if kind in (Kind.ANSWER, Kind.REPORT):
                priority = priority if self._left < BULK_AFTER else Priority.BULK
                self._left += len(part)
            self._voice.say(Message(priority, *where, part, since, key, reply_to))
            reply_to = ""

    def _verb(self, kind: Kind) -> str:
        """What nobody asked for is a NOTICE, which no bot may answer (RFC 2812 §3.3.2)."""
        if self._person is None or kind is Kind.REPORT:
            return "NOTICE"
        return self._channel.reply.upper()
