"""Who is in which channel with us, under which account; kept up to date by every line the server sends.

Rights hang on what stands here, so it forgets at once: a person who logs out, quits, is split off or shares no
channel with us any more has no account. It outlives no connection (`reset`).
"""

from __future__ import annotations

import itertools
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ircops.irc.protocol import Isupport, Line, split_mask

# Token, user, host, nick, account; the token marks the answers to our own question (ircv3.net/specs/extensions/whox).
WHO_TOKEN = "152"
WHO_FIELDS = f"%tuhna,{WHO_TOKEN}"

SERVICES = "NickServ"  # who is there as long as services are, on nearly all networks


@dataclass(eq=False)
class Person:
    """A connection of somebody to the network, seen by us."""

    nick: str
    user: str = ""
    host: str = ""
    account: str = ""  # "" = not logged in, or not known
    evidence: str = ""  # what said so
    channels: set[str] = field(default_factory=set)  # folded
    connection: int = 0  # on which connection of ours they were seen
    has_quit: bool = False
    number: int = field(default_factory=itertools.count(1).__next__)  # of this process; 0 is nobody

    @property
    def identity(self) -> str:
        """What shows that it is the same person: the account, else nick!user@host; "" if neither is known.

        Without the nick, all who come through one gateway would be one.
        """
        return self.account or (f"{self.nick}!{self.user}@{self.host}" if self.host else "")


class Roster:
    """`feed` it every line. `me` is our nick, `caps` what was negotiated (kept by the registration)."""

    def __init__(self) -> None:
        self._connection = 0
        self._has_seen_services = False
        self.reset("", frozenset())

    def reset(self, me: str, caps: AbstractSet[str]) -> None:
        """Forget everything: another connection begins."""
        self._connection += 1
        self.me = me
        self.caps = caps
        self.isupport = Isupport()
        self._people: dict[str, Person] = {}
        self._channels: dict[str, set[str]] = {}  # of the channels we are in: the modes
        self.are_services_away = False  # the server said so: nobody can log in until they are back
        self._prefix_size = 0  # not counted yet

    # -- asked --

    def fold(self, name: str) -> str:
        return self.isupport.fold(name)

    def person(self, nick: str) -> Person | None:
        """Who has this nick now, of those who share a channel with us."""
        return self._people.get(self.fold(nick))

    def account_of(self, number: int) -> str | None:
        """The account that the person of this number has now; None if we do not see them any more."""
        return next((p.account for p in self._people.values() if p.number == number), None)

    def is_me(self, nick: str) -> bool:
        me = self.me
        return nick == me or (len(nick) == len(me) and self.fold(nick) == self.fold(me))

    def is_joined(self, channel: str) -> bool:
        """We are in `channel`."""
        return self.fold(channel) in self._channels

    def modes(self, channel: str) -> AbstractSet[str]:
        """The letters of the modes that are set on `channel`, as far as known."""
        return self._channels.get(self.fold(channel), frozenset())

    def speaker(self, line: Line) -> Person:
        """Who said `line`, with the account that is proven now.

        Where the server tags accounts, the tag of this very line is the proof, and no tag means not logged in.
        """
        nick, user, host = split_mask(line.source)
        person = self.person(nick)
        if person is None:
            person = Person(nick, connection=self._connection)  # talks to us, shares no channel
        person.user, person.host = user, host
        if "account-tag" in self.caps:
            self._log_in(person, line.tags.get("account", ""), "account-tag")
        elif "account-notify" not in self.caps:
            self._log_in(person, "", "")  # what an earlier tag said
        return person

    def nick_of(self, person: Person) -> str:
        """Under which nick `person` can be reached now; "" when nobody can be shown to be them.

        A nick alone proves nothing: it may have been taken over since, all the more after a reconnect.
        """
        here = self.person(person.nick)
        if here is person:
            return person.nick
        if here is None and person.connection == self._connection and not person.has_quit:
            return person.nick  # shares no channel: the server knows best
        for other in self._people.values():
            if person.identity and other.identity == person.identity and not self.is_me(other.nick):
                return other.nick
        return ""

    @property
    def prefix_size(self) -> int:
        """The bytes of our nick!user@host, which the server puts before what we say; the most, until known."""
        if self._prefix_size:
            return self._prefix_size
        me, limits = self.person(self.me), self.isupport
        user = len(me.user.encode()) if me and me.user else limits.userlen + 1  # `~` without ident
        host = len(me.host.encode()) if me and me.host else limits.hostlen
        self._prefix_size = len(self.me.encode()) + 1 + user + 1 + host
        return self._prefix_size

    # -- told --

    def feed(self, line: Line) -> None:
        """Take any line; those that say nothing about people change nothing."""
        if line.command in ("PRIVMSG", "NOTICE"):
            return
        self._prefix_size = 0  # it may be about us
        match line.command:
            case "JOIN":
                self._join(line)
            case "PART":
                self._leave(line.nick, line.param(0))
            case "KICK":
                self._leave(line.param(1), line.param(0))
            case "QUIT":
                self._quit(line.nick)
            case "NICK":
                self._rename(line.nick, line.param(0))
            case "ACCOUNT":
                self._account(line.nick, line.param(0), "account-notify")
            case "CHGHOST":
                self._move(line.nick, line.param(0), line.param(1))
            case "MODE":
                self._change_modes(line.param(0), line.params[1:])
            case "CAP" if line.param(1).upper() in ("DEL", "NEW"):
                names = {name.partition("=")[0] for name in line.params[-1].split(" ")}
                is_gone = line.param(1).upper() == "DEL"
                if is_gone and "account-notify" in names:
                    self._forget_accounts()
                if "sasl" in names:  # services take logins, so they go together
                    self.are_services_away = is_gone
            case "730" | "731" if self.fold(split_mask(line.param(1))[0]) == self.fold(SERVICES):
                self._has_seen_services |= line.command == "730"  # RPL_MONONLINE
                self.are_services_away = line.command == "731" and self._has_seen_services
            case "001":
                self.me = line.param(0) or self.me
            case "005":
                self._support(line)
            case "324":  # RPL_CHANNELMODEIS
                self._change_modes(line.param(1), line.params[2:])
            case "352":  # RPL_WHOREPLY
                self._move(line.param(5), line.param(2), line.param(3))
            case "353":  # RPL_NAMREPLY
                self._names(line.param(2), line.param(3))
            case "354":  # RPL_WHOSPCRPL
                self._who(line)
            case "396":  # RPL_VISIBLEHOST; some servers put the user before it
                user, _, host = line.param(1).rpartition("@")
                self._move(self.me, user, host)

    def _support(self, line: Line) -> None:
        self.isupport.feed(line.params)
        self._people = {self.fold(person.nick): person for person in self._people.values()}

    def _join(self, line: Line) -> None:
        nick, user, host = split_mask(line.source)
        if self.is_me(nick):
            self._channels[self.fold(line.param(0))] = set()
        self._enter(nick, line.param(0))
        self._move(nick, user, host)
        if "extended-join" in self.caps:
            self._account(nick, line.param(1), "extended-join")

    def _enter(self, nick: str, channel: str) -> None:
        if nick and self.is_joined(channel):
            person = self._people.setdefault(
                self.fold(nick), Person(nick, connection=self._connection)
            )
            person.channels.add(self.fold(channel))

    def _leave(self, nick: str, channel: str) -> None:
        """Somebody is no longer in `channel`; we forget whom we cannot see any more."""
        left = self.fold(channel)
        if self.is_me(nick):
            self._channels.pop(left, None)
            gone = list(self._people.values())
        else:
            gone = [person] if (person := self.person(nick)) else []
        for person in gone:
            person.channels.discard(left)
            if not person.channels:
                self._people.pop(self.fold(person.nick), None)

    def _quit(self, nick: str) -> None:
        if person := self._people.pop(self.fold(nick), None):
            person.has_quit = True

    def _rename(self, old: str, new: str) -> None:
        if not new:
            return
        if self.is_me(old):
            self.me = new
        if person := self._people.pop(self.fold(old), None):
            self._quit(new)  # nobody else can have it any more
            person.nick = new
            self._people[self.fold(new)] = person

    def _move(self, nick: str, user: str, host: str) -> None:
        if person := self.person(nick):
            person.user, person.host = user or person.user, host or person.host

    def _account(self, nick: str, account: str, evidence: str) -> None:
        """`*` and 0 mean logged out. Without account-notify we would never hear of a logout: believe nothing."""
        person = self.person(nick)
        if person and "account-notify" in self.caps:
            self._log_in(person, "" if account in ("*", "0") else account, evidence)

    def _log_in(self, person: Person, account: str, evidence: str) -> None:
        person.account, person.evidence = account, evidence if account else ""

    def _forget_accounts(self) -> None:
        """From here on, nobody would tell us of a logout."""
        for person in self._people.values():
            self._log_in(person, "", "")

    def _names(self, channel: str, names: str) -> None:
        for name in names.split(" "):
            nick, user, host = split_mask(name.lstrip(self.isupport.prefixes))
            self._enter(nick, channel)
            self._move(nick, user, host)

    def _who(self, line: Line) -> None:
        if line.param(1) == WHO_TOKEN and len(line.params) == 6:
            _, _, user, host, nick, account = line.params
            self._move(nick, user, host)
            self._account(nick, account, "whox")

    def _change_modes(self, channel: str, changes: tuple[str, ...]) -> None:
        modes = self._channels.get(self.fold(channel), set())
        for sign, letter, _ in self.isupport.modes(changes):
            if sign == "-":
                modes.discard(letter)
            elif letter not in self.isupport.prefix_modes:
                modes.add(letter)
