"""What consent is given to: a call with all that was resolved for it, frozen, and the hash that stands for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from ircops.policy import Policy

SHOWN_LOCKS = 3
SHOWN = 12  # characters of a digest that people compare by eye


@dataclass(frozen=True)
class Plan:
    """One call as it would run at this moment; another number, or anything else resolved, is another plan."""

    number: int  # of the call, so that consent to one is none to the next of the same words
    asker: str
    place: str  # network/#channel
    line: str  # as it was said
    command: str
    arguments: Mapping[str, tuple[str, ...]]  # as click understood them
    hosts: str  # folded node set; "" = reaches none
    locks: tuple[str, ...]  # that it holds while it runs
    facts: Mapping[str, str]  # what else the command rests on: the digest of its script, a revision
    policy: Policy

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it, hex."""
        said = asdict(self) | {"policy": self._policy}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def _policy(self) -> list[object]:
        policy = self.policy
        return [int(policy.role), policy.approvals, policy.confirm, policy.totp]

    @property
    def subject(self) -> str:
        """`deploy shop prod on web[1-2], script 1f3a…`: what people say yes to."""
        on = f" on {self.hosts}" if self.hosts else ""
        facts = "".join(f", {name} {value[:SHOWN]}" for name, value in self.facts.items())
        return f"{self.line}{on}{facts}"

    @property
    def demands(self) -> str:
        """`role operator, one approval, a confirmation`."""
        policy = self.policy
        asks = [f"role {policy.role}"]
        asks += [approvals(policy.approvals)] * bool(policy.approvals)
        asks += ["a confirmation"] * policy.confirm + ["a one-time code"] * policy.totp
        asks += [f"lock {lock}" for lock in self.locks[:SHOWN_LOCKS]]
        return ", ".join(asks)

    def change(self, now: Plan) -> str:
        """What is different in `now`, for people; "" if it is the same plan."""
        if now.digest == self.digest:
            return ""
        for name in self.facts.keys() | now.facts.keys():
            if self.facts.get(name) != now.facts.get(name):
                return f"its {name} is another one now"
        if now.hosts != self.hosts:
            return f"its hosts were {self.hosts or 'none'} and are {now.hosts or 'none'} now"
        if now._policy != self._policy:
            return "what it asks for was changed"
        return "its words mean something else now"


def approvals(count: int) -> str:
    """`one approval`, `2 approvals`."""
    return "one approval" if count == 1 else f"{count} approvals"
