"""From an open socket to the welcome: capabilities, SASL, a nick that is free. Lines in, lines out, no socket.

Sources: ircv3.net/specs/extensions/{capability-negotiation,sasl-3.2}, RFC 4616 (PLAIN), RFC 2812 §3.1.
"""

from __future__ import annotations

import base64
import enum
import itertools
import logging
import math
import re
from collections.abc import Iterable, Iterator

from ircops import config
from ircops.errors import Refused
from ircops.irc.protocol import Line, build
from ircops.irc.roster import Roster

log = logging.getLogger(__name__)

WANTED = {"account-notify", "account-tag", "extended-join", "chghost", "userhost-in-names"}
WANTED |= {"message-tags", "server-time", "batch"}
PIECE = 400  # bytes of one AUTHENTICATE (sasl-3.1)
NICK_LEAST = 9  # characters that every server takes (RFC 2812 §1.2.1)
REGAIN = 30.0  # seconds between two tries for our own nick

# How servers say in ERROR that they will not have us. A ban after the welcome is told once more when we come back.
_BANNED = re.compile(r"\b(banned|[dgkz]-?:?lined?|akill(ed)?)\b", re.IGNORECASE)


class Unavailable(Exception):
    """The server, or its services, cannot have us now; it is worth trying again."""


class Sasl(enum.Enum):
    """How far the login is."""

    NOT_BEGUN = enum.auto()
    ASKED = enum.auto()  # for the mechanism
    SENT = enum.auto()  # name and password
    SUCCEEDED = enum.auto()
    GIVEN_UP = enum.auto()


class Registration:
    """One attempt. `feed` it every line, `tick` it at `due`; both give lines to send, or raise.

    Refused: never again with these settings; Unavailable: not now. `is_secret` says that nobody between us and the
    server can listen: TLS, or loopback.
    """

    def __init__(
        self, bot: config.Bot, network: config.Network, is_secret: bool, now: float
    ) -> None:
        self._bot, self._network = bot, network
        self._may_send_password = is_secret or network.sasl_over_plaintext
        self.nick = bot.nick  # the one we asked for last; from the welcome on, the roster knows
        self.caps: set[str] = set()
        self.is_welcome = False
        self.due = now + network.connect_timeout / 2
        self._ends_at = now + network.connect_timeout
        self._is_negotiating = True
        self._offered: dict[str, str] = {}
        self._asked: set[str] = set()
        self._sasl = Sasl.NOT_BEGUN
        self._nicks = alternates(bot.nick)

    def start(self) -> list[bytes]:
        """The first lines, CAP before all else: then the server waits for CAP END before it welcomes us."""
        lines = [build("CAP", "LS", "302")]
        if self._network.server_password:
            lines.append(build("PASS", self._network.server_password))
        user = build("USER", self._bot.username, "0", "*", self._bot.realname)
        return [*lines, build("NICK", self.nick), user]

    def tick(self, now: float) -> list[bytes]:
        """Half of the time is for services to answer; then we go on without them, if we may."""
        if now >= self._ends_at:
            raise Unavailable(f"no welcome within {self._network.connect_timeout:.0f} s")
        if now >= self.due:
            self.due = self._ends_at
            if self._sasl in (Sasl.ASKED, Sasl.SENT):
                return [build("AUTHENTICATE", "*"), *self._give_up("services do not answer")]
        return []

    def feed(self, line: Line) -> list[bytes]:
        match line.command:
            case "CAP":
                return self._cap(line)
            case "AUTHENTICATE" if self._sasl is Sasl.ASKED and line.param(0) == "+":
                self._sasl = Sasl.SENT
                return self._credentials()
            case "903" | "907" if self._sasl in (Sasl.ASKED, Sasl.SENT):  # 907: we already are
                self._sasl = Sasl.SUCCEEDED
                return self._end_negotiation()
            case "902" | "904" | "905" | "906" | "908" | "421":
                return self._no_login(line)
            case "432" | "433" | "436" | "437" if not self.is_welcome:
                return self._next_nick(line)
            case "001":
                return self._welcome(line)
            case "464":
                raise Refused(
                    f"the server refuses the password: {_words(line)}; set server_password"
                )
            case "465":
                raise Refused(f"banned by the server: {_words(line)}; ask its operators")
            case "ERROR" if not self.is_welcome and _BANNED.search(_words(line)):
                raise Refused(f"banned by the server: {_words(line)}; ask its operators")
            case "ERROR":
                raise Unavailable(f"closed by the server: {_words(line)}")
        return []

    # -- capabilities --

    def _cap(self, line: Line) -> list[bytes]:
        names = [name for name in " ".join(line.params[2:]).split(" ") if name not in ("", "*")]
        match line.param(1).upper():
            case "LS":
                self._offered |= dict(_name_and_value(name) for name in names)
                is_last = line.param(2) != "*"
                return self._request(self._offered) or self._negotiated() if is_last else []
            case "NEW":
                self._offered |= dict(_name_and_value(name) for name in names)
                return self._request(_name_and_value(name)[0] for name in names)
            case "DEL":
                self.caps.difference_update(names)
            case "ACK":
                self.caps.update(name for name in names if not name.startswith("-"))
                self.caps.difference_update(name[1:] for name in names if name.startswith("-"))
                return self._answered(names)
            case "NAK" if len(names) > 1:  # which of them it was, it does not say
                return [build("CAP", "REQ", name) for name in names]
            case "NAK":
                return self._answered(names)
        return []

    def _request(self, names: Iterable[str]) -> list[bytes]:
        wanted = WANTED | {"sasl"} if self._is_negotiating and self._offers_plain() else WANTED
        asked = wanted.intersection(names) - self.caps
        self._asked |= asked
        return [build("CAP", "REQ", " ".join(sorted(asked)))] if asked else []

    def _answered(self, names: list[str]) -> list[bytes]:
        self._asked.difference_update(name.lstrip("-") for name in names)
        return [] if self._asked or not self._is_negotiating else self._negotiated()

    def _negotiated(self) -> list[bytes]:
        if self._sasl is not Sasl.NOT_BEGUN:
            return []  # its end is the end of the negotiation
        if not self._network.sasl_username:
            return self._end_negotiation()
        if "sasl" not in self.caps:
            return self._give_up("the server offers no login with SASL PLAIN at the moment")
        if not self._may_send_password:
            return self._give_up(
                "sasl would send the password in clear text; set tls = yes", is_for_good=True
            )
        self._sasl = Sasl.ASKED
        return [build("AUTHENTICATE", "PLAIN")]

    def _end_negotiation(self) -> list[bytes]:
        if not self._is_negotiating:
            return []
        self._is_negotiating = False
        return [build("CAP", "END")]

    # -- SASL --

    def _offers_plain(self) -> bool:
        mechanisms = self._offered.get("sasl", "").upper()
        return bool(self._network.sasl_username) and (
            not mechanisms or "PLAIN" in mechanisms.split(",")
        )

    def _credentials(self) -> list[bytes]:
        name, password = self._network.sasl_username, self._network.sasl_password
        text = base64.b64encode(f"{name}\0{name}\0{password}".encode()).decode()
        pieces = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
        if len(pieces[-1]) == PIECE:
            pieces.append("+")  # says that this was all
        return [build("AUTHENTICATE", piece) for piece in pieces]

    def _no_login(self, line: Line) -> list[bytes]:
        """902 locked, 904 failed, 905 too long, 906 aborted, 908 other mechanisms, 421 unknown command.

        Only an answer to our name and password is about them; before, it is services that are not there.
        """
        if self._sasl not in (Sasl.ASKED, Sasl.SENT):
            return []
        if line.command == "421" and line.param(1).upper() != "AUTHENTICATE":
            return []
        why = f"services do not log us in: {_words(line)}"
        if self._sasl is Sasl.SENT and line.command in ("902", "904", "905"):
            return self._give_up(f"{why}; check sasl_username and sasl_password", is_for_good=True)
        return self._give_up(why)

    def _give_up(self, why: str, is_for_good: bool = False) -> list[bytes]:
        """Go on without a login, or not at all if `sasl_required` (fail closed)."""
        self._sasl = Sasl.GIVEN_UP
        if self._network.sasl_required:
            raise Refused(why) if is_for_good else Unavailable(why)
        log.warning("going on without a services account: %s", why)
        return self._end_negotiation()

    # -- nick and welcome --

    def _next_nick(self, line: Line) -> list[bytes]:
        if line.command == "432" and len(self.nick) > NICK_LEAST:  # too long, most likely
            short = self._bot.nick[:NICK_LEAST]
            self._nicks = itertools.chain([short], alternates(short))
        nick = next(self._nicks, "")
        if not nick:
            raise Unavailable(f"the server takes no nick like {self._bot.nick}; set another one")
        self.nick = nick
        return [build("NICK", nick)]

    def _welcome(self, line: Line) -> list[bytes]:
        self.is_welcome = True
        self._is_negotiating = False
        self.due = self._ends_at = math.inf
        self.nick = line.param(0) or self.nick
        if self._network.sasl_username and self._sasl not in (Sasl.SUCCEEDED, Sasl.GIVEN_UP):
            return self._give_up("the server welcomed us without a login")
        return []


def alternates(nick: str) -> Iterator[str]:
    """Nicks like `nick`, not longer than it, unless 9 characters allow it: how long is too long comes later, in 005."""
    room = max(len(nick), NICK_LEAST)
    for suffix in ("_", "__", *map(str, range(1, 20))):
        yield nick[: room - len(suffix)] + suffix


def _words(line: Line) -> str:
    return line.params[-1] if line.params else line.command


def _name_and_value(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


class Regain:
    """Gets our own nick back from whoever has it: mostly the ghost of our last connection."""

    def __init__(self, wanted: str, roster: Roster) -> None:
        self.wanted, self._roster = wanted, roster
        self.due = math.inf

    def feed(self, line: Line, now: float) -> list[bytes]:
        """Take a line, after the roster did."""
        if line.command not in ("001", "NICK", "QUIT"):
            return []
        if self._roster.is_me(self.wanted):
            self.due = math.inf
        elif self._roster.fold(line.nick) == self._roster.fold(self.wanted):
            is_ours = line.command == "NICK" and self._roster.is_me(line.param(0))
            self.due = now + REGAIN if is_ours else now  # who was renamed by services waits
        elif self.due == math.inf:
            self.due = now + REGAIN
        return self.tick(now)

    def tick(self, now: float) -> list[bytes]:
        if now < self.due:
            return []
        self.due = now + REGAIN
        return [build("NICK", self.wanted)]
