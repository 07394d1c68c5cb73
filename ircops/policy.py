"""What a command asks of its caller: a role, approvals, a confirmation, a code, a time limit, a lock.

The author of a command proposes with `@requires`; the operator decides in `[command NAME]`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click


class Role(enum.IntEnum):
    """What somebody may do; each includes the ones before it."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


# Of `ctx.obj` and the arguments by name: what else the command rests on, such as the digest of a script.
Facts = Callable[[Any, Mapping[str, Any]], Mapping[str, str]]


@dataclass(frozen=True)
class Policy:
    """Nothing stated is the strictest: admin only (fail closed)."""

    role: Role = Role.ADMIN
    approvals: int = 0  # how many other accounts must say yes
    confirm: bool = False  # the caller must say yes
    timeout: float = 60  # seconds from start to the stop request; 0 = none
    lock: str = ""
    totp: bool = False  # the caller must have given a one-time code lately
    facts: Facts | None = field(default=None, compare=False)  # what consent is bound to, too


Decorated = TypeVar("Decorated", bound=Callable[..., object])
ATTRIBUTE = "ircops_policy"


def requires(
    role: str | Role,
    approvals: int = 0,
    confirm: bool = False,
    timeout: float = 60,
    lock: str = "",
    totp: bool = False,
    facts: Facts | None = None,
) -> Callable[[Decorated], Decorated]:
    """Mark a command with its policy; goes above or below `@click.command()`.

    `role` is viewer, operator or admin; `timeout` is seconds, 0 for none;
    `facts(ops, arguments)` gives what else consent is bound to: `{"revision": "1f3a…"}`. It may block.
    Raises ValueError at import for a role that does not exist.
    """
    policy = Policy(role_named(str(role)), approvals, confirm, timeout, lock, totp, facts)

    def mark(command: Decorated) -> Decorated:
        setattr(command, ATTRIBUTE, policy)
        return command

    return mark


def role_named(name: str) -> Role:
    """`viewer`, `operator` or `admin`; ValueError otherwise (nobody can require `nobody`)."""
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        if str(role) == name:
            return role
    raise ValueError(f"unknown role {name!r}; it is viewer, operator or admin")


def policy_of(command: click.Command, inherited: Policy | None = None) -> Policy:
    """The policy its author gave `command`; without one, its group's; without that, admin only."""
    stated = getattr(command, ATTRIBUTE, None) or getattr(command.callback, ATTRIBUTE, None)
    return stated or inherited or Policy()
