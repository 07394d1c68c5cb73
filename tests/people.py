"""The people and the doors of the tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ircops.call import Call, Kind, Reply, Sender, User
from ircops.plan import Plan
from ircops.policy import Policy, Role

ALICE = User("alice", Role.OPERATOR)
BOB = User("bob", Role.OPERATOR)
CAROL = User("carol", Role.ADMIN)
DAVE = User("dave", Role.VIEWER)


def on_irc(nick: str, account: str | None = None, **more: object) -> Sender:
    """Somebody in #ops, logged in under their nick unless told otherwise."""
    account = nick if account is None else account
    values = {
        "mask": f"{nick}!{nick}@host.example",
        "network": "test",
        "evidence": "account-tag" if account else "",
        "in_channel": True,
    }
    return Sender("irc", nick, account, **{**values, **more})  # type: ignore[arg-type]


@dataclass
class Heard:
    """An Outlet that keeps what was said."""

    said: list[tuple[Kind, str]] = field(default_factory=list)
    is_finished: bool = False
    held: list[str] = field(default_factory=list)

    def write(self, kind: Kind, text: str) -> None:
        self.said.append((kind, text))

    def finish(self) -> None:
        self.is_finished = True

    def more(self) -> list[str]:
        held, self.held = self.held, []
        return held

    @property
    def lines(self) -> list[str]:
        return [text for kind, text in self.said if kind is not Kind.PROGRESS]


def call(line: str, sender: Sender | None = None, where: str = "#ops") -> tuple[Call, Heard]:
    """A call and what will be heard of it; inside a running loop."""
    heard = Heard()
    return Call(sender or on_irc("alice"), line, Reply(heard), where), heard


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until `condition()` holds, and fail if it does not."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


def until_true(condition: Callable[[], object], seconds: float = 20) -> None:
    """Like `until`, where no loop runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def a_plan(policy: Policy, **other: Any) -> Plan:
    """Alice's deploy of the shop; `other` is what is different."""
    said: dict[str, Any] = {
        "number": 7,
        "asker": "alice",
        "place": "net/#ops",
        "line": "deploy shop",
        "command": "deploy",
        "arguments": {"name": ("shop",)},
        "hosts": "web[1-2]",
        "locks": (),
        "facts": {"script": "1f3a" * 16},
        "policy": policy,
    }
    return Plan(**(said | other))
