"""Calls waiting for `!confirm` or `!approve`: the plan is shown with a short hash, and somebody says yes.

An approver is another account than the asker's and has at least the role the command asks;
consent is bound to the plan (who, what, where, on which hosts) and expires.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from ircops.call import Call, Sender, User
from ircops.errors import Denied, OpsError, Stopped
from ircops.policy import Policy, Role
from ircops.shapes import folded

EXPIRY = 300.0  # seconds a plan waits


@dataclass
class Plan:
    """What consent is given to."""

    number: int  # of the call
    user: User
    call: Call
    command: str
    hosts: str  # folded node set, resolved; "" = reaches none
    policy: Policy
    approvers: list[str] = field(default_factory=list)
    confirmed: bool = False
    decided: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def hash(self) -> str:
        parts = (str(self.number), self.user.name, self.call.line, self.call.where, self.hosts)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:4]

    @property
    def missing(self) -> int:
        """How many approvals it still needs."""
        return max(0, self.policy.approvals - len(self.approvers))

    @property
    def wants(self) -> str:
        """The sentence that says what it waits for."""
        on = f" on {self.hosts}" if self.hosts else ""
        if self.policy.confirm and not self.confirmed:
            return f"{self.call.line}{on}: sure? !confirm {self.hash} (or !deny {self.hash})"
        count = "one approval" if self.missing == 1 else f"{self.missing} approvals"
        return f"{self.call.line}{on}: needs {count}: !approve {self.hash}"


class Approvals:
    """The plans that wait. On the loop only."""

    def __init__(self, expiry: float = EXPIRY) -> None:
        self._expiry = expiry
        self._waiting: dict[str, Plan] = {}

    async def wait(
        self, number: int, user: User, command: str, policy: Policy, hosts: str, call: Call
    ) -> tuple[str, ...]:
        """Return the approvers once everybody needed has said yes; at once if nobody is needed.

        Raises Denied when somebody says no, OpsError after `expiry` seconds, Stopped at a kill.
        """
        if not policy.confirm and not policy.approvals:
            return ()
        if call.sender.door == "schedule":
            raise Denied(
                f"{command} needs consent, which a schedule cannot ask for; drop it in [command {command}]"
            )
        plan = Plan(number, user, call, command, hosts, policy)
        self._waiting[plan.hash] = plan
        loop = asyncio.get_running_loop()
        call.stop.on_ask(lambda reason: loop.call_soon_threadsafe(_refuse, plan, Stopped(reason)))
        call.reply.say(plan.wants)
        try:
            await asyncio.wait_for(plan.decided, self._expiry)
        except TimeoutError:
            raise OpsError(
                f"{command}: nobody said yes within {self._expiry:.0f} s; call it again"
            ) from None
        finally:
            del self._waiting[plan.hash]
        return tuple(plan.approvers)

    def confirm(self, hash: str, by: User) -> str:
        """The asker says yes to their own plan; gives the sentence to say."""
        plan = self._find(hash)
        if by.name != plan.user.name:
            raise Denied(
                f"{hash} is {plan.user}'s to confirm"
                + (f"; you may !approve {hash}" if plan.missing else "")
            )
        plan.confirmed = True
        return self._settle(plan)

    def approve(self, hash: str, by: User, sender: Sender | None = None) -> str:
        """Another account says yes, from where `sender` is; gives the sentence to say."""
        plan = self._find(hash)
        is_same_connection = sender is not None and sender.person == plan.call.sender.person > 0
        if is_same_connection or _bare(by) == _bare(plan.user):
            raise Denied("you asked for it, so somebody else must approve it")
        if not _is_proven(by):
            raise Denied("an approver must be logged in to a services account")
        needed = max(plan.policy.role, Role.OPERATOR)
        if by.role < needed:
            raise Denied(f"approving {plan.command} needs role {needed}; {by} is {by.role}")
        if _bare(by) in map(_bare, plan.approvers):
            raise Denied(f"you have approved {hash} already; it needs another account")
        plan.approvers.append(by.name)
        return self._settle(plan)

    def deny(self, hash: str, by: User, reason: str = "") -> str:
        """Say no, for good: the asker, or whoever could approve; gives the sentence to say."""
        plan = self._find(hash)
        if by.name != plan.user.name and by.role < max(plan.policy.role, Role.OPERATOR):
            raise Denied(
                f"denying {plan.command} needs role {max(plan.policy.role, Role.OPERATOR)}"
            )
        _refuse(
            plan, Denied(f"{plan.call.line}: denied by {by}" + (f": {reason}" if reason else ""))
        )
        return f"denied {hash}"

    def _find(self, hash: str) -> Plan:
        if plan := self._waiting.get(hash):
            return plan
        known = ", ".join(self._waiting) or "none"
        raise OpsError(f"nothing waits under {hash}; waiting: {known}")

    def _settle(self, plan: Plan) -> str:
        if plan.missing or (plan.policy.confirm and not plan.confirmed):
            return plan.wants
        if not plan.decided.done():
            plan.decided.set_result(None)
        return f"{plan.hash}: go"


def _refuse(plan: Plan, error: OpsError) -> None:
    if not plan.decided.done():
        plan.decided.set_exception(error)


def _is_proven(user: User) -> bool:
    """The name is an account or a unix user, not a mask that anybody could wear."""
    return "!" not in user.name


def _bare(user: User | str) -> str:
    """The account alone: alice of another network, or of this machine, may be the same alice."""
    return folded(str(user).rpartition("/")[2].removeprefix("unix:"))
