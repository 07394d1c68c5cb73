"""Calls waiting for `!confirm` or `!approve`: the plan is shown with a short hash, and somebody says yes.

An approver is another account than the asker's, and somebody who might run it there themselves, as an operator
at least. Consent is bound to the plan (who, what, where, on which hosts, from which files) and expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ircops.call import Call, Sender, User
from ircops.errors import Denied, OpsError, Stopped
from ircops.plan import Plan, approvals
from ircops.policy import Role
from ircops.shapes import folded

EXPIRY = 300.0  # seconds a plan waits
SHORTEST = 4  # characters of a hash; more where it would be taken for another

Judge = Callable[[User, Sender], str]  # why somebody might not run it themselves; "" = they might


@dataclass
class Waiting:
    """A plan that waits, under its hash."""

    hash: str
    plan: Plan
    user: User
    call: Call
    judge: Judge
    ends: float  # on the loop's clock
    approvers: list[str] = field(default_factory=list)
    confirmed: bool = False
    decided: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def missing(self) -> int:
        """How many approvals it still needs."""
        return max(0, self.plan.policy.approvals - len(self.approvers))

    @property
    def is_unsure(self) -> bool:
        """The asker has to say yes, too."""
        return self.plan.policy.confirm and not self.confirmed

    @property
    def wants(self) -> str:
        """The sentence that says what it waits for."""
        if self.is_unsure:
            return f"{self.plan.subject}: sure? !confirm {self.hash} (or !deny {self.hash})"
        return f"{self.plan.subject}: needs {approvals(self.missing)}: !approve {self.hash}"

    @property
    def role(self) -> Role:
        """What an approver is at least."""
        return max(self.plan.policy.role, Role.OPERATOR)


class Approvals:
    """The plans that wait. On the loop only."""

    def __init__(self, expiry: float = EXPIRY) -> None:
        self.expiry = expiry
        self._waiting: dict[str, Waiting] = {}

    async def wait(
        self, plan: Plan, user: User, call: Call, judge: Judge, seconds: float | None = None
    ) -> tuple[str, ...]:
        """Return the approvers once everybody needed has said yes to `plan`, which needs somebody.

        It waits `seconds` (None: `expiry`). Raises Denied when somebody says no, OpsError when its time is up,
        Stopped at a kill.
        """
        if call.sender.door == "schedule":
            raise Denied(
                f"{plan.command} needs consent, which a schedule cannot ask for; "
                f"drop it in [command {plan.command}]"
            )
        loop = asyncio.get_running_loop()
        seconds = self.expiry if seconds is None else seconds
        waiting = Waiting(self._hash(plan), plan, user, call, judge, loop.time() + seconds)
        self._waiting[waiting.hash] = waiting
        call.stop.on_ask(
            lambda reason: loop.call_soon_threadsafe(_refuse, waiting, Stopped(reason))
        )
        call.reply.say(waiting.wants)
        try:
            await asyncio.wait_for(waiting.decided, seconds)
        except TimeoutError:
            raise OpsError(
                f"{plan.command}: nobody said yes within {seconds:.0f} s; call it again"
            ) from None
        finally:
            del self._waiting[waiting.hash]
        return tuple(waiting.approvers)

    @property
    def waiting(self) -> list[Waiting]:
        """All that wait, oldest first."""
        return list(self._waiting.values())

    def confirm(self, hash: str, by: User) -> str:
        """The asker says yes to their own plan; gives the sentence to say."""
        waiting = self._find(hash)
        if by.name != waiting.user.name:
            raise Denied(
                f"{waiting.hash} is {waiting.user}'s to confirm"
                + (f"; you may !approve {waiting.hash}" if waiting.missing else "")
            )
        waiting.confirmed = True
        return _settle(waiting)

    def approve(self, hash: str, by: User, sender: Sender) -> str:
        """Another account says yes, from where `sender` is; gives the sentence to say."""
        waiting = self._find(hash)
        plan, asked = waiting.plan, waiting.call.sender
        if sender.person == asked.person > 0 or _bare(by) == _bare(waiting.user):
            raise Denied("you asked for it, so somebody else must approve it")
        if not _is_proven(by):
            raise Denied("an approver must be logged in to a services account")
        if by.role < waiting.role:
            raise Denied(f"approving {plan.command} needs role {waiting.role}; {by} is {by.role}")
        if refusal := waiting.judge(by, sender):
            raise Denied(f"who approves it must be allowed to run it: {refusal}")
        if _bare(by) in map(_bare, waiting.approvers):
            raise Denied(f"you have approved {waiting.hash} already; it needs another account")
        waiting.approvers.append(by.name)
        return _settle(waiting)

    def deny(self, hash: str, by: User, reason: str = "") -> str:
        """Say no, for good: the asker, or whoever has the role to approve; gives the sentence to say."""
        waiting = self._find(hash)
        if by.name != waiting.user.name and by.role < waiting.role:
            raise Denied(f"denying {waiting.plan.command} needs role {waiting.role}")
        why = f": {reason}" if reason else ""
        _refuse(waiting, Denied(f"{waiting.plan.line}: denied by {by}{why}"))
        return f"denied {waiting.hash}"

    def _hash(self, plan: Plan) -> str:
        return next(
            plan.digest[:size]
            for size in range(SHORTEST, len(plan.digest) + 1)
            if not any(known.startswith(plan.digest[:size]) for known in self._waiting)
        )

    def _find(self, hash: str) -> Waiting:
        if waiting := self._waiting.get(hash.lower()):
            return waiting
        known = ", ".join(self._waiting) or "none"
        raise OpsError(f"nothing waits under {hash}; waiting: {known}")


def _settle(waiting: Waiting) -> str:
    if waiting.missing or waiting.is_unsure:
        return waiting.wants
    if not waiting.decided.done():
        waiting.decided.set_result(None)
    return f"{waiting.hash}: go"


def _refuse(waiting: Waiting, error: OpsError) -> None:
    if not waiting.decided.done():
        waiting.decided.set_exception(error)


def _is_proven(user: User) -> bool:
    """The name is an account or a unix user, not a mask that anybody could wear."""
    return "!" not in user.name


def _bare(user: User | str) -> str:
    """The account alone: alice of another network, or of this machine, may be the same alice."""
    return folded(str(user).rpartition("/")[2].removeprefix("unix:"))
