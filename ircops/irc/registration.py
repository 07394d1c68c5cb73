"""From an open socket to the welcome: capabilities, the login, a nick that is free. Lines in, lines out, no socket.

After the welcome it goes on to follow the capabilities, and logs in anew when services are back.

Sources: ircv3.net/specs/extensions/capability-negotiation, RFC 2812 §3.1; `sasl.py` has the login.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Iterator

from ircops import config
from ircops.errors import Refused
from ircops.irc.ends import Unavailable, banned, closed
from ircops.irc.protocol import Line, build
from ircops.irc.roster import Roster
from ircops.irc.sasl import Forged, Login

log = logging.getLogger(__name__)

WANTED = {"account-notify", "account-tag", "extended-join", "chghost", "userhost-in-names"}
WANTED |= {"message-tags", "server-time", "batch", "draft/chathistory", "chathistory"}
WANTED |= {"echo-message", "draft/multiline"}
REQUEST = 400  # bytes of names in one CAP REQ: the answer repeats them behind more words than ours
NICK_LEAST = 9  # characters that every server takes (RFC 2812 §1.2.1)
REGAIN = 30.0  # seconds between two tries for our own nick


class Registration:
    """One attempt. `feed` it every line, `tick` it at `due`; both give lines to send, or raise.

    Refused: never again with these settings; Unavailable: not now. `is_secret` says that nobody between us and the
    server can listen: TLS, or loopback.
    """

    def __init__(
        self, bot: config.Bot, network: config.Network, is_secret: bool, now: float
    ) -> None:
        self._bot, self._network = bot, network
        self.login = Login(network, is_secret, self._login_ended)
        self.nick = bot.nick  # the one we asked for last; from the welcome on, the roster knows
        self.caps: set[str] = set()
        self.is_welcome = False
        self._ends_at = now + network.connect_timeout
        self._is_negotiating = True
        self._has_tried = False  # to log in, since it was offered last
        self._offered: dict[str, str] = {}
        self._asked: list[set[str]] = []  # a set for each CAP REQ that is not answered in full
        self._nicks = alternates(bot.nick)

    @property
    def due(self) -> float:
        return min(self._ends_at, self.login.due)

    def start(self) -> list[bytes]:
        """The first lines, CAP before all else: then the server waits for CAP END before it welcomes us."""
        lines = [build("CAP", "LS", "302")]
        if self._network.server_password:
            lines.append(build("PASS", self._network.server_password))
        user = build("USER", self._bot.username, "0", "*", self._bot.realname)
        return [*lines, build("NICK", self.nick), user]

    def tick(self, now: float) -> list[bytes]:
        if now >= self._ends_at:
            raise Unavailable(f"no welcome within {self._network.connect_timeout:.0f} s")
        return self.login.tick(now)

    def feed(self, line: Line, now: float) -> list[bytes]:
        match line.command:
            case "CAP":
                return self._cap(line, now)
            case "432" | "433" | "436" | "437" if not self.is_welcome:
                return self._next_nick(line)
            case "001":
                return self._welcome(line)
            case "464" if not self.is_welcome:
                raise Refused(
                    f"the server refuses the password: {_words(line)}; set server_password"
                )
            case "465":
                raise banned(_words(line))
            case "ERROR":
                raise closed(_words(line))
        was_logged_in = self.login.is_logged_in
        lines = self.login.feed(line)
        if was_logged_in and not self.login.is_logged_in and not self.login.is_under_way:
            log.warning("services logged us out: %s", _words(line))
            return [*lines, *self._log_in(now)]
        return lines

    # -- capabilities --

    def _cap(self, line: Line, now: float) -> list[bytes]:
        names = [name for name in " ".join(line.params[2:]).split(" ") if name not in ("", "*")]
        match line.param(1).upper():
            case "LS":
                self._offered |= dict(_name_and_value(name) for name in names)
                is_last = line.param(2) != "*"
                return self._request(self._offered) or self._negotiated(now) if is_last else []
            case "NEW":
                new = dict(_name_and_value(name) for name in names)
                self._offered |= new
                if "sasl" in new:  # services are back, or offer something else
                    self.caps.discard("sasl")
                return self._request(new)
            case "DEL":
                self.caps.difference_update(names)
                for name in names:
                    self._offered.pop(name, None)
            case "ACK":
                if "sasl" in names and "sasl" not in self.caps:
                    self._has_tried = False
                self.caps.update(name for name in names if not name.startswith("-"))
                self.caps.difference_update(name[1:] for name in names if name.startswith("-"))
                self._answered({name.lstrip("-") for name in names})
                return self._negotiated(now)
            case "NAK":
                return self._one_by_one(set(names)) or self._negotiated(now)
        return []

    def _request(self, names: Iterable[str]) -> list[bytes]:
        """Ask for those of `names` that we use, in lines that fit; what is asked for already is not asked again."""
        wanted = WANTED | {"sasl"} if self._can_log_in() else WANTED
        asked = wanted.intersection(names) - self.caps
        lines = [""]
        for name in sorted(asked.difference(*self._asked)):
            if len(lines[-1]) + len(name) >= REQUEST:
                lines.append("")
            lines[-1] = f"{lines[-1]} {name}".lstrip()
        self._asked += [set(line.split()) for line in lines if line]
        return [build("CAP", "REQ", line) for line in lines if line]

    def _can_log_in(self) -> bool:
        return self.login.is_wanted and self.login.is_offered(self._offered.get("sasl", ""))

    def _answered(self, names: set[str]) -> None:
        for asked in self._asked:
            asked -= names
        self._asked = [asked for asked in self._asked if asked]

    def _one_by_one(self, names: set[str]) -> list[bytes]:
        """After a NAK: all of a line are refused, and which of them it was, it does not say, nor all names always."""
        refused = next((asked for asked in self._asked if asked & names), None)
        if refused is None and self._asked:
            refused = self._asked[0]
        if refused is None:
            return []
        self._asked.remove(refused)
        again = sorted(refused) if len(refused) > 1 else []
        self._asked += [{name} for name in again]
        return [build("CAP", "REQ", name) for name in again]

    def _negotiated(self, now: float) -> list[bytes]:
        """Go on when all that was asked for is answered: log in, or end the negotiation."""
        if self._asked or self.login.is_under_way:
            return []  # the end of the login is the end of the negotiation
        return self._end_negotiation() if self._has_tried else self._log_in(now)

    def _end_negotiation(self) -> list[bytes]:
        if not self._is_negotiating:
            return []
        self._is_negotiating = False
        return [build("CAP", "END")]

    # -- login --

    def _log_in(self, now: float) -> list[bytes]:
        if not self.login.is_wanted:
            return self._end_negotiation()
        self._has_tried = True
        if "sasl" in self.caps:
            return self.login.begin(now)
        how = self._network.sasl_mechanism
        why = f"the server offers no login with SASL {how} at the moment"
        return self._login_ended(Unavailable(why))

    def _login_ended(self, error: Refused | Unavailable | None) -> list[bytes]:
        """Go on without a login, or not at all if `sasl_required` (fail closed).

        Once we are in, services that do not take us back end nothing while the server holds us to be logged in; else
        it is for the next connection to find out whether they refuse us for good.
        """
        if error is None:
            return self._end_negotiation()
        if self.is_welcome and self.login.is_logged_in:
            log.warning("still logged in, but not anew: %s", error)
            return []
        if self._network.sasl_required or isinstance(error, Forged):
            raise Unavailable(str(error)) if self.is_welcome else error
        log.warning("going on without a services account: %s", error)
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
        self._is_negotiating = False
        self._ends_at = math.inf
        self.nick = line.param(0) or self.nick
        lines = []
        if self.login.is_wanted and (self.login.is_under_way or not self._has_tried):
            self._has_tried = True
            lines = self._login_ended(Unavailable("the server welcomed us without a login"))
        self.is_welcome = True
        return lines


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
