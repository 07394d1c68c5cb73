"""May this user run this, here? Yes, or the sentence that says why not.

Rights hang on what a door proves (a services account, a unix user), never on a nick.
"""

from __future__ import annotations

import re
import string

from ircops.call import Call, Sender, User
from ircops.config import Settings
from ircops.errors import Denied
from ircops.policy import Policy, Role

# Only ASCII letters fold: services treat Alice and alice as one account, but a KELVIN SIGN is no k.
FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Access:
    """The [roles] section, asked.

    `owners` are the unix users who hold the bot's keys and files anyway: the one it runs as, and root.
    """

    def __init__(self, settings: Settings, owners: frozenset[str] = frozenset()) -> None:
        self._settings = settings
        self._owners = owners
        roles = settings.roles
        self._lists = (
            (Role.ADMIN, roles.admin),
            (Role.OPERATOR, roles.operator),
            (Role.VIEWER, roles.viewer),
        )

    def identify(self, sender: Sender) -> User:
        """Say who `sender` is to us; somebody unknown is a User with role nobody."""
        if sender.door == "schedule":
            schedule = self._settings.schedules.get(sender.account)
            role = schedule.role if schedule else Role.NOBODY
            return User(f"schedule:{sender.account}", role, f"[schedule {sender.account}]")
        name = self._name(sender)
        for role, entries in self._lists:
            for entry in entries:
                if _matches(entry, sender):
                    return User(name, role, f"[roles] {role} = {entry}")
        if sender.door == "console" and sender.account in self._owners:
            return User(name, Role.ADMIN, "holds the bot's files")
        return User(name, Role.NOBODY)

    def _next_step(self, sender: Sender, role: Role) -> str:
        """Logging in is worth saying only to somebody without an account, where accounts can have the role."""
        if sender.door != "irc" or sender.account:
            return ""
        entries = [entry for known, entries in self._lists if known >= role for entry in entries]
        if all(entry == "*" or entry.startswith("unix:") or "mask:" in entry for entry in entries):
            return ""
        return " (not logged in to services: log in, and say it again)"

    def _name(self, sender: Sender) -> str:
        if sender.door == "console":
            return f"unix:{sender.account}"
        if sender.account and len(self._settings.networks) > 1:
            return f"{sender.network}/{sender.account}"  # alice there need not be alice here
        return sender.account or sender.mask or sender.name

    def check(self, user: User, command: str, policy: Policy, call: Call) -> None:
        """Raise Denied unless `user` may run `command`, which asks `policy`, where `call` was made."""
        if user.role < policy.role:
            yours = f"yours is {user.role}" if user.role else "you have none"
            hint = self._next_step(call.sender, policy.role)
            raise Denied(f"{command} needs role {policy.role}; {yours}{hint}")
        if call.where and call.sender.door == "irc":
            allowed = self._settings.channel(call.where).commands
            if "all" not in allowed and command.split()[0] not in allowed:
                raise Denied(f"{command} is not for {call.where}; here: {' '.join(allowed)}")


def _matches(entry: str, sender: Sender) -> bool:
    """One word of [roles] against a sender: `*`, unix:NAME, [NETWORK/]mask:PATTERN, [NETWORK/]ACCOUNT."""
    if sender.door == "console":
        return entry == f"unix:{sender.account}"
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
        return _glob(rest.removeprefix("mask:")).fullmatch(sender.mask.translate(FOLD)) is not None
    return bool(sender.account) and rest.translate(FOLD) == sender.account.translate(FOLD)


def _glob(pattern: str) -> re.Pattern[str]:
    """An IRC mask as a regular expression: `*` any run, `?` one character (RFC 2812 §2.5)."""
    escaped = re.escape(pattern.translate(FOLD))
    return re.compile(escaped.replace(r"\*", ".*").replace(r"\?", "."))
