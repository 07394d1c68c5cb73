"""What the transcript gets: each line said in our channels, by others and by us, and who came and went."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from ircops.call import Said
from ircops.irc.channels import Joins
from ircops.irc.protocol import Line
from ircops.irc.render import JOINER, plain
from ircops.irc.roster import Roster

# Verb -> kind, and which parameter is its text.
_EVENTS = {"JOIN": ("join", 9), "PART": ("part", 1), "TOPIC": ("topic", 1)}


class Scribe:
    """Writes down one network with `write`, which must not wait. On the loop."""

    def __init__(
        self,
        network: str,
        roster: Roster,
        joins: Joins,
        write: Callable[[Said], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._network, self._roster, self._joins = network, roster, joins
        self._write, self._now = write, now

    def feed(self, line: Line) -> None:
        """Take a line before the roster does: after a QUIT nobody knows where they were."""
        match line.command:
            case "PRIVMSG" | "NOTICE" if not self._roster.is_me(line.nick):  # else `said` had it
                self._put(line, [line.param(0)], *_kind(line))
            case "JOIN" | "PART" | "TOPIC" as verb:
                kind, text = _EVENTS[verb]
                self._put(line, [line.param(0)], kind, line.param(text))
            case "KICK":
                why = f" ({line.param(2)})" if line.param(2) else ""
                self._put(line, [line.param(0)], "kick", line.param(1) + why)
            case "MODE":
                self._put(line, [line.param(0)], "mode", " ".join(line.params[1:]))
            case "QUIT" | "NICK" as verb:
                person = self._roster.person(line.nick)
                self._put(line, person.channels if person else (), verb.lower(), line.param(0))

    def said(self, data: bytes) -> None:
        """Take what goes to the server: one line of ours, CRLF and tags included."""
        if b"PRIVMSG " not in data and b"NOTICE " not in data:
            return
        if data.startswith(b"@"):
            data = data.partition(b" ")[2]  # no tag of ours says anything of it
        verb, _, rest = data.decode(errors="replace").rstrip("\r\n").partition(" ")
        if verb in ("PRIVMSG", "NOTICE"):  # as `protocol.build` makes them
            target, _, text = rest.partition(" ")
            # the joiner keeps nicks from lighting up, and from being found
            line = Line(verb, (target, text.removeprefix(":").replace(JOINER, "")))
            kind, text = _kind(line)
            self._put(line, [target], kind, text, is_ours=True)

    def _put(
        self, line: Line, channels: Iterable[str], kind: str, text: str, is_ours: bool = False
    ) -> None:
        if not text.isprintable():
            text = plain(text)
        for channel in channels:
            if name := self._joins.name(channel):
                said = Said(
                    line.at or self._now(),
                    self._network,
                    name,
                    self._roster.me if is_ours else line.nick or line.source,
                    kind,
                    text,
                    "" if is_ours else self._account(line),
                    line.tags.get("msgid", ""),
                    is_ours,
                )
                self._write(said)

    def _account(self, line: Line) -> str:
        if "account-tag" in self._roster.caps:
            return line.tags.get("account", "")
        person = self._roster.person(line.nick)
        return person.account if person else ""


def _kind(line: Line) -> tuple[str, str]:
    """The kind and the text of a PRIVMSG or NOTICE."""
    text = line.param(1)
    if text.startswith("\x01ACTION "):
        return "action", text[8:].removesuffix("\x01")
    return ("notice" if line.command == "NOTICE" else "message"), text
