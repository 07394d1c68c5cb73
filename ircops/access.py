"""May this user run this, here, on these hosts? Yes, or the sentence that says why not.

Rights hang on what a door proves (a services account, a unix user), never on a nick. What it takes is said by
the command's policy and, above it, by the [access …] sections (`rules.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ircops.call import SERVICES_AWAY, Call, Sender, User
from ircops.config import Access as Section
from ircops.config import Settings
from ircops.errors import Denied, OpsError, sentence
from ircops.policy import Policy, Role
from ircops.rules import Fit, Rule, Rules, values_of
from ircops.shapes import folded
from ircops.totp import Totp

NO_RULE = Section()


class Verdict(NamedTuple):
    """What was decided, and what decided it."""

    refusal: str  # "" = yes
    by: tuple[str, ...]  # sections with their lines; "" stands for the command's own policy


class Access:
    """The [roles] and [access …] sections, asked. Any thread.

    `owners` are the unix users who hold the bot's keys and files anyway: the one it runs as, and root.
    """

    def __init__(
        self,
        settings: Settings,
        owners: frozenset[str] = frozenset(),
        rules: Rules | None = None,
        totp: Totp | None = None,
    ) -> None:
        self._settings = settings
        self._owners = owners
        self._rules = rules or Rules()
        self._totp = totp
        roles = settings.roles
        self._people = [
            (role, entry, f"[roles] {role} = {entry}")
            for role, entries in (
                (Role.ADMIN, roles.admin),
                (Role.OPERATOR, roles.operator),
                (Role.VIEWER, roles.viewer),
            )
            for entry in entries
        ]

    def identify(self, sender: Sender) -> User:
        """Say who `sender` is to us; somebody unknown is a User with role nobody."""
        if sender.door == "schedule":
            schedule = self._settings.schedules.get(sender.account)
            role = schedule.role if schedule else Role.NOBODY
            return User(f"schedule:{sender.account}", role, f"[schedule {sender.account}]")
        name = self._name(sender)
        for role, entry, why in self._people:
            if _matches(entry, sender):
                return User(name, role, why)
        if sender.door == "console" and sender.account in self._owners:
            return User(name, Role.ADMIN, "holds the bot's files")
        return User(name, Role.NOBODY)

    def _next_step(self, sender: Sender, role: Role) -> str:
        """Logging in is worth saying only to somebody without an account, where accounts can have the role."""
        if sender.door != "irc" or sender.account:
            return ""
        entries = [entry for known, entry, _ in self._people if known >= role]
        if all(entry == "*" or entry.startswith("unix:") or "mask:" in entry for entry in entries):
            return ""
        if sender.evidence == SERVICES_AWAY:
            return " (services are away, so nobody can prove who they are: wait, or use ircops do)"
        return " (not logged in to services: log in, and say it again)"

    def _name(self, sender: Sender) -> str:
        if sender.door == "console":
            return f"unix:{sender.account}"
        if sender.account and len(self._settings.networks) > 1:
            return f"{sender.network}/{sender.account}"  # alice there need not be alice here
        return sender.account or sender.mask or sender.name

    def stand_in(self, account: str, like: Sender) -> Sender:
        """Somebody logged in as `account`, in a channel of ours, for questions about their rights."""
        if account.startswith("unix:"):
            name = account.removeprefix("unix:")
            return Sender("console", name, name)
        network, slash, name = account.rpartition("/")
        network = network if slash else like.network or next(iter(self._settings.networks), "")
        return Sender("irc", name, name, network=network, in_channel=True)

    def check(
        self,
        user: User,
        command: str,
        policy: Policy,
        call: Call,
        arguments: Mapping[str, Any] | None = None,
        hosts: Any = None,
    ) -> None:
        """Raise Denied unless `user` may run `command`, which asks `policy`, where `call` was made.

        `arguments` are those that click made, `hosts` the NodeSet of all that it reaches (None = none). Without
        arguments, before they are known, whoever might be allowed with some is let through.
        """
        if refusal := self.judge(user, command, policy, call, arguments, hosts).refusal:
            raise Denied(refusal)

    def may(self, user: User, call: Call) -> Callable[[str, Policy], bool]:
        """A function that says of a command and its policy whether it might be allowed with some arguments."""
        return lambda command, policy: not self.judge(user, command, policy, call).refusal

    def judge(
        self,
        user: User,
        command: str,
        policy: Policy,
        call: Call,
        arguments: Mapping[str, Any] | None = None,
        hosts: Any = None,
    ) -> Verdict:
        """Decide as `check` does, and say what decided."""
        if refusal := self._not_here(command, call):
            section = f"channel {call.where}"
            return Verdict(refusal, (f"[{section}] ({self._settings.place(section, 'commands')})",))
        rules = self._rules.of(command)
        if arguments is None:
            return self._first_look(rules, user, command, policy, call)
        values = values_of(arguments) if rules else {}
        by: list[str] = []
        for rule in rules:
            fit, meant = rule.fit(values)
            if fit is Fit.NONE:
                continue
            here = None
            if rule.hosts is not None:
                try:
                    here = hosts & rule.hosts_now() if hosts else None
                except OpsError as error:  # nobody can say that it is not about these
                    return Verdict(f"{rule} cannot be applied: {sentence(error)}", (rule.source,))
                if not here:
                    continue
            by.append(rule.source)
            if fit is Fit.ALIKE:
                refusal = f"{command}: write {meant} exactly like that; {rule} has it so"
            else:
                refusal = self._refusal(rule, user, command, policy, call)
            if refusal:
                return Verdict(refusal, (rule.source,))
            if fit is Fit.WHOLE:
                hosts = hosts - here if here else None
                if not hosts:
                    return Verdict("", tuple(by))
        return Verdict(self._refusal(None, user, command, policy, call), (*by, ""))

    @property
    def guards_hosts(self) -> bool:
        """Some rule is about hosts."""
        return any(rule.hosts is not None for rule in self._rules.all)

    def _first_look(
        self, rules: tuple[Rule, ...], user: User, command: str, policy: Policy, call: Call
    ) -> Verdict:
        """Before the arguments are known. A code is not asked for yet: they may be wrong."""
        for rule in (*rules, None):
            refusal = self._refusal(rule, user, command, policy, call, is_first_look=True)
            if not refusal or rule is None or not rule.is_conditional:
                return Verdict(refusal, (rule.source if rule else "",))
        raise AssertionError("the command's own policy comes last")

    def _refusal(
        self,
        rule: Rule | None,
        user: User,
        command: str,
        policy: Policy,
        call: Call,
        is_first_look: bool = False,
    ) -> str:
        """Why not, if `rule` decides; "" = yes."""
        section, sender = rule.section if rule else NO_RULE, call.sender
        by = f" ({rule})" if rule else ""
        if section.deny:
            return f"nobody may run {command} like that{by}"
        role = policy.role if section.role is None else section.role
        if user.role < role:
            yours = f"yours is {user.role}" if user.role else "you have none"
            return f"{command} needs role {role}{by}; {yours}{self._next_step(sender, role)}"
        if section.accounts and not any(_matches(entry, sender) for entry in section.accounts):
            return f"{command} is for {' '.join(section.accounts)}{by}"
        if section.network and sender.network not in section.network:
            return f"{command} is for network {' '.join(section.network)}{by}; say it there"
        if section.into and not any(_is_at(spot, call) for spot in section.into):
            return f"{command} is for {' '.join(section.into)}{by}; say it there"
        if is_first_look or not (policy.totp if section.totp is None else section.totp):
            return ""
        return self._code_missing(user, command, sender)

    def _not_here(self, command: str, call: Call) -> str:
        """Why the channel does not have the command; "" = it does."""
        is_for_all = command == "totp"  # a code that is said there must be burnt
        if is_for_all or not call.where or call.sender.door != "irc":
            return ""
        allowed = self._settings.channel(call.where).commands
        if "all" in allowed or command.split()[0] in allowed:
            return ""
        return f"{command} is not for {call.where}; here: {' '.join(allowed)}"

    def _code_missing(self, user: User, command: str, sender: Sender) -> str:
        """Why a one-time code is still needed; "" = one was given lately."""
        if sender.door == "schedule":
            return f"{command} needs a one-time code, which a schedule cannot give; say totp = no for it"
        if not sender.account:
            return f"{command} needs a one-time code, and that an account: log in, and say it again"
        if self._totp is None or not self._totp.is_enrolled(user.name):
            return (
                f"{command} needs a one-time code, and you have none yet: "
                f"have an admin run ircops totp add {user.name} on the bot's machine"
            )
        if self._totp.is_given(user.name, self._settings.bot.totp_time):
            return ""
        return f"{command} needs a one-time code: tell me totp CODE in private, then say it again"


def _is_at(spot: str, call: Call) -> bool:
    """One word of `in`: private, console, #channel or network/#channel."""
    door, where = call.sender.door, call.where
    if door == "console":
        return spot == "console"
    if not where:
        return spot == "private" and door == "irc"
    network, _, channel = spot.partition("/") if spot[0] not in "#&+!" else ("", "", spot)
    return channel.casefold() == where.casefold() and network in ("", call.sender.network)


def _matches(entry: str, sender: Sender) -> bool:
    """One word of [roles] against a sender: `*`, unix:NAME, [NETWORK/]mask:PATTERN, [NETWORK/]ACCOUNT."""
    if sender.door == "console":
        return entry == f"unix:{sender.account}"
    if sender.door == "schedule":  # its name may be somebody's account
        return False
    if entry == "*":
        return sender.in_channel
    if entry.startswith("unix:"):
        return False
    network, slash, rest = entry.partition("/")
    if not slash or entry.startswith("mask:"):  # a host name may hold a slash, an account cannot
        network, rest = sender.network, entry
    if network != sender.network:
        return False
    if rest.startswith("mask:"):
        return _glob(rest.removeprefix("mask:")).fullmatch(folded(sender.mask)) is not None
    return bool(sender.account) and folded(rest) == folded(sender.account)


def _glob(pattern: str) -> re.Pattern[str]:
    """An IRC mask as a regular expression: `*` any run, `?` one character (RFC 2812 §2.5)."""
    escaped = re.escape(folded(pattern))
    return re.compile(escaped.replace(r"\*", ".*").replace(r"\?", "."))
