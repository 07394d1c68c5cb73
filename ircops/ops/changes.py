"""What changed things lately, from the record: one list for who asks why it is different now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ircops.policy import Role
from ircops.ssh.nodes import unfolded
from ircops.store.times import clock_time

if TYPE_CHECKING:
    from ircops.record import Entry

LOOKS = frozenset({"get", "logs", "service logs"})  # not for viewers, but they change nothing
TOLD = frozenset({"log text"})  # for viewers, but it is there to tell of changes
DENIED = ": denied by "
NEWS = {"started": "the bot started", "stopped": "the bot stopped", "reloaded": "settings read"}


@dataclass(frozen=True)
class Change:
    """One thing that was done, or the same done several times."""

    first: datetime
    last: datetime
    who: str
    what: str
    outcome: str
    hosts: str  # folded
    count: int = 1

    def told(self, now: datetime) -> str:
        """`09:12 alice: restart nginx @web on web[1-3]: ok`, `09:00-09:55 …: ok, 12 times`."""
        at = clock_time(self.first, now)
        if self.count > 1 and (until := clock_time(self.last, now)) != at:
            at = f"{at}-{until}"
        who = f"{self.who}: " if self.who else ""
        on = f" on {self.hosts}" if self.hosts and self.hosts not in self.what.split() else ""
        outcome = f": {self.outcome}" if self.outcome else ""
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{at} {who}{self.what}{on}{outcome}{times}"


def changes(
    entries: Iterable[Entry], roles: Mapping[str, Role], hosts: Collection[str] = ()
) -> list[Change]:
    """What changed things, by `entries` of the record, the newest last; equal ones are one.

    That is what is not for viewers (`roles` says who may run which command), what ran by the clock, a plan that
    was denied, and news of the bot itself. With `hosts`, only what reached one of them.
    """
    newest: dict[int, Entry] = {}  # the last entry of a call has all that is known of it
    for entry in entries:
        newest[entry.call or -entry.seq] = entry
    wanted = frozenset(hosts)
    found: dict[tuple[str, str, str, str], Change] = {}
    for entry in newest.values():
        if not _is_change(entry, roles) or (wanted and not wanted & unfolded(entry.hosts)):
            continue
        change = _change(entry)
        key = (change.who, change.what, change.outcome, change.hosts)
        if before := found.pop(key, None):  # goes to the end
            change = replace(change, first=before.first, count=before.count + 1)
        found[key] = change
    return list(found.values())


def _is_change(entry: Entry, roles: Mapping[str, Role]) -> bool:
    if entry.call is None:
        return True
    if DENIED in entry.outcome:
        return True
    has_run = entry.event == "started" or entry.seconds is not None
    if not has_run or entry.command in LOOKS:
        return False
    # a command that is not there any more: nobody knows, so it is told
    role = roles.get(entry.command, Role.ADMIN)
    return entry.door == "schedule" or entry.command in TOLD or role > Role.VIEWER


def _change(entry: Entry) -> Change:
    if entry.call is None:
        news = NEWS.get(entry.event) or f"{entry.event}: {entry.line or entry.network}"
        what = news.removesuffix(": ")
        return Change(entry.at, entry.at, "", what, entry.outcome, entry.hosts)
    outcome = "has not ended" if entry.event == "started" else entry.outcome
    _, denied, why = outcome.partition(DENIED)
    outcome = f"{DENIED.removeprefix(': ')}{why}" if denied else outcome
    return Change(entry.at, entry.at, entry.user or entry.mask, entry.line, outcome, entry.hosts)
