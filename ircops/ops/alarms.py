"""What is wrong with watched hosts over time, and what of it is news to whom.

A fault is raised when it has lasted, is over when it is gone, and flaps when it does both too often. Each place is told
the difference between what it was told last and what is; so what was held back, in maintenance or in quiet hours, is
said afterwards if it is still so, and nothing is said twice. Pure: time is an argument.
"""

from __future__ import annotations

import enum
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ircops.ops.health import Condition, Fault, count, duration, folded
from ircops.store.times import moment, stamp

FLAPS = 6  # changes within WINDOW
WINDOW = timedelta(minutes=30)
SETTLED = timedelta(minutes=15)  # without a change
MOST_LINES = 5  # of one state, before they are summed up

Lasts = Callable[[str, Fault], float]  # seconds that a fault of a host must last


class State(enum.StrEnum):
    """How it stands with one fault of one host."""

    OK = "ok"
    RAISED = "raised"
    FLAPPING = "flapping"


@dataclass
class Alarm:
    """One fault of one host, from its first sight until nobody has to hear of it any more."""

    fault: Fault
    since: datetime  # it is so, or is over
    is_raised: bool = False
    is_there: bool = True  # it may not have lasted yet
    is_flapping: bool = False
    changes: deque[datetime] = field(default_factory=deque)
    lasted: timedelta = timedelta()  # the last time
    told: dict[str, State] = field(default_factory=dict)  # to each place; nothing is OK
    held: set[str] = field(default_factory=set)  # places that would have heard of it

    @property
    def state(self) -> State:
        if self.is_flapping:
            return State.FLAPPING
        return State.RAISED if self.is_raised else State.OK

    def see(self, fault: Fault, now: datetime, lasts: float) -> None:
        """It is there."""
        if not self.is_there:
            self.is_there, self.since = True, now
        self.fault = fault
        if not self.is_raised and (now - self.since).total_seconds() >= lasts:
            self.is_raised = True
            self.changes.append(now)

    def miss(self, now: datetime) -> None:
        """It is not there."""
        if self.is_raised:
            self.is_raised = False
            self.changes.append(now)
            self.lasted = now - self.since
        if self.is_there:
            self.is_there, self.since = False, now

    def tick(self, now: datetime) -> None:
        """See whether it flaps."""
        while self.changes and now - self.changes[0] > WINDOW:
            self.changes.popleft()
        if self.is_flapping and (not self.changes or now - self.changes[-1] >= SETTLED):
            self.is_flapping = False
            self.changes.clear()
        elif len(self.changes) >= FLAPS:
            self.is_flapping = True

    @property
    def is_forgotten(self) -> bool:
        """Nobody has to hear of it."""
        is_told = any(state is not State.OK for state in self.told.values())
        return not (self.is_there or self.changes or is_told or self.is_flapping)


@dataclass(frozen=True)
class News:
    """One change, for one place."""

    host: str
    name: str  # of the fault, without its value
    text: str
    state: State


class Alarms:
    """Of one watch. Not for two threads at once."""

    def __init__(self) -> None:
        self._alarms: dict[str, dict[str, Alarm]] = {}  # by host and key
        self._passed: Counter[str] = Counter()  # what came and went while a place was quiet
        self.is_recalled = False

    def raised(self, host: str) -> frozenset[str]:
        """The keys of what is raised there."""
        alarms = self._alarms.get(host)
        if not alarms:
            return frozenset()
        return frozenset(key for key, alarm in alarms.items() if alarm.is_raised)

    def take(self, conditions: Iterable[Condition], now: datetime, lasts: Lasts) -> None:
        """Take what a whole round found. Hosts that are not in it any more are forgotten."""
        seen = set()
        for one in conditions:
            seen.add(one.host)
            if one.is_fine and one.host not in self._alarms:
                continue  # nearly all, nearly always
            alarms = self._alarms.setdefault(one.host, {})
            there = {fault.key: fault for fault in one.wrong}
            for key, fault in there.items():
                alarm = alarms.setdefault(key, Alarm(fault, now))
                alarm.see(fault, now, 0 if fault.is_news else lasts(one.host, fault))
            for key, alarm in alarms.items():
                if key not in there and (not one.error or key == "up"):  # else nobody can tell
                    alarm.miss(now)
                alarm.tick(now)
        for host in self._alarms.keys() - seen:
            del self._alarms[host]

    def news(
        self,
        place: str,
        *,
        is_quiet: bool = False,
        only_problems: bool = False,
        is_silent: Callable[[str], object] = lambda host: False,
    ) -> list[News]:
        """What `place` has not been told; it counts as told then. `is_silent` says of which hosts nothing is said."""
        found = []
        for host, alarms in self._alarms.items():
            if is_silent(host):
                continue
            for alarm in alarms.values():
                before, now = alarm.told.get(place, State.OK), alarm.state
                if is_quiet and not alarm.fault.is_severe:
                    if now is not before and now is not State.OK:
                        alarm.held.add(place)
                    continue
                if place in alarm.held:
                    alarm.held.discard(place)
                    self._passed[place] += now is before is State.OK
                if now is before:
                    continue
                alarm.told[place] = now
                if now is not State.OK or not (only_problems or alarm.fault.is_news):
                    found.append(News(host, name(alarm.fault), _text(alarm, before), now))
        self._forget()
        return found

    def passed(self, place: str) -> int:
        """How much came and went while the place was quiet, since this was asked last."""
        return self._passed.pop(place, 0)

    def kept(self) -> str:
        """All of it as text, to be given to `recall` by the next bot."""
        return json.dumps(
            [
                {
                    **vars(alarm),
                    "host": host,
                    "fault": vars(alarm.fault),
                    "since": stamp(alarm.since),
                    "changes": [stamp(change) for change in alarm.changes],
                    "lasted": alarm.lasted.total_seconds(),
                    "held": sorted(alarm.held),
                }
                for host, alarms in self._alarms.items()
                for alarm in alarms.values()
            ]
        )

    def recall(self, kept: str) -> None:
        """Go on from what an earlier bot knew, and had told."""
        self.is_recalled = True
        for known in json.loads(kept):
            host, fault = known.pop("host"), Fault(**known.pop("fault"))
            changes = deque(moment(change) for change in known.pop("changes"))
            alarm = Alarm(
                fault,
                since=moment(known.pop("since")),
                changes=changes,
                lasted=timedelta(seconds=known.pop("lasted")),
                told={place: State(state) for place, state in known.pop("told").items()},
                held=set(known.pop("held")),
                **known,
            )
            self._alarms.setdefault(host, {})[fault.key] = alarm

    def _forget(self) -> None:
        for host in list(self._alarms):
            left = {
                key: alarm
                for key, alarm in self._alarms[host].items()
                if alarm.held or not alarm.is_forgotten
            }
            if left:
                self._alarms[host] = left
            else:
                del self._alarms[host]


def _text(alarm: Alarm, before: State) -> str:
    """What is said of a change."""
    fault = alarm.fault
    if alarm.state is State.FLAPPING:
        changes = count(len(alarm.changes), "change")
        minutes = round(WINDOW.total_seconds() / 60)
        return f"{name(fault)} comes and goes ({changes} in {minutes} min); silent until it settles"
    settled = "settled: " if before is State.FLAPPING else ""
    if alarm.state is State.RAISED:
        return f"{settled}{fault}"
    after = "" if settled else f" (after {duration(alarm.lasted.total_seconds())})"
    if fault.key == "up":
        return f"{settled}reachable again{after}"
    return f"{settled}ok again: {name(fault)}{after}"


def name(fault: Fault) -> str:
    """The fault without its value: `disk /var`."""
    kind, _, of = fault.key.partition(":")
    if kind in ("unit", "check"):
        return of
    return "connection" if kind == "up" else f"{kind} {of}".strip()


def lines(news: Iterable[News]) -> Iterator[tuple[str, State]]:
    """Equal news of several hosts in one line, what is wrong first; of very many, those of one kind."""
    by_state: dict[State, list[News]] = {state: [] for state in State}
    for one in news:
        by_state[one.state].append(one)
    for state in (State.RAISED, State.FLAPPING, State.OK):
        told = [*folded((one.host, one.text) for one in by_state[state])]
        if len(told) > MOST_LINES:
            told = [*_by_kind(by_state[state])]
        yield from ((line, state) for line in told)


def _by_kind(news: list[News]) -> Iterator[str]:
    """`web[1-40]: disk /var, as in web1: disk /var 91 %` in place of forty lines."""
    kinds: dict[str, list[News]] = {}
    for one in news:
        kinds.setdefault(one.name, []).append(one)
    for name, alike in kinds.items():
        line, *more = folded((one.host, one.text) for one in alike)
        if more:
            [hosts] = folded((one.host, name) for one in alike)
            yield f"{hosts}, as in {line}"
        else:
            yield line
