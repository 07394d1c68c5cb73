"""Consent: by whom, to what, for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ircops.approval import Approvals
from ircops.call import Call, Sender, User
from ircops.errors import Denied, OpsError, Stopped
from ircops.policy import Policy, Role
from tests.people import ALICE, BOB, CAROL, DAVE, Heard, call, until

TWO = Policy(Role.OPERATOR, approvals=2)
ONE = Policy(Role.OPERATOR, approvals=1)
SURE = Policy(Role.OPERATOR, confirm=True)

Answer = Callable[[Approvals, str, Call], Awaitable[None]]


def waiting(policy: Policy, answer: Answer, expiry: float = 30) -> tuple[tuple[str, ...], Heard]:
    """Alice asks; `answer` is called with the hash; gives the approvers, and what was said."""

    async def scene() -> tuple[tuple[str, ...], Heard]:
        approvals = Approvals(expiry)
        made, heard = call("deploy shop")
        waiter = asyncio.create_task(approvals.wait(7, ALICE, "deploy", policy, "web[1-2]", made))
        await until(lambda: heard.said or waiter.done())
        if heard.said:
            await answer(approvals, heard.lines[0].split("!")[1].split()[1], made)
        return await waiter, heard

    return asyncio.run(scene())


async def nothing(approvals: Approvals, hash: str, made: Call) -> None:
    pass


def test_a_command_that_asks_nothing_does_not_wait() -> None:
    approvers, heard = waiting(Policy(), nothing)
    assert approvers == () and not heard.said


def test_the_plan_is_shown_with_its_hosts_and_hash() -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        assert approvals.approve(hash, BOB) == f"{hash}: go"

    approvers, heard = waiting(ONE, approve)
    assert approvers == ("bob",)
    assert heard.lines[0].startswith("deploy shop on web[1-2]: needs one approval: !approve ")


@pytest.mark.parametrize(
    "by, sentence",
    [
        (ALICE, "somebody else must approve"),
        (DAVE, "approving deploy needs role operator; dave is viewer"),
        (User("eve!e@host", Role.OPERATOR), "logged in to a services account"),
    ],
)
def test_who_cannot_approve(by: User, sentence: str) -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        with pytest.raises(Denied, match=sentence):
            approvals.approve(hash, by)
        approvals.approve(hash, BOB)

    waiting(ONE, approve)


def test_two_approvals_are_two_accounts() -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        assert "needs one approval" in approvals.approve(hash, BOB)
        with pytest.raises(Denied, match="another account"):
            approvals.approve(hash, BOB)
        approvals.approve(hash, CAROL)

    assert waiting(TWO, approve)[0] == ("bob", "carol")


def test_only_the_asker_confirms() -> None:
    async def confirm(approvals: Approvals, hash: str, made: Call) -> None:
        with pytest.raises(Denied, match="alice's to confirm"):
            approvals.confirm(hash, BOB)
        assert approvals.confirm(hash, ALICE) == f"{hash}: go"

    waiting(SURE, confirm)


def test_a_no_ends_it_with_its_reason() -> None:
    async def deny(approvals: Approvals, hash: str, made: Call) -> None:
        with pytest.raises(Denied, match="needs role operator"):
            approvals.deny(hash, DAVE)
        approvals.deny(hash, BOB, "not on a friday")

    with pytest.raises(Denied, match="deploy shop: denied by bob: not on a friday"):
        waiting(ONE, deny)


def test_a_plan_expires_and_its_hash_with_it() -> None:
    with pytest.raises(OpsError, match="nobody said yes within 0 s"):
        waiting(ONE, nothing, expiry=0.01)


def test_a_kill_ends_the_wait() -> None:
    async def kill(approvals: Approvals, hash: str, made: Call) -> None:
        made.stop.ask("killed by bob")

    with pytest.raises(Stopped, match="killed by bob"):
        waiting(ONE, kill)


def test_an_unknown_hash_names_the_waiting_ones() -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        with pytest.raises(OpsError, match=f"nothing waits under zzzz; waiting: {hash}"):
            approvals.approve("zzzz", BOB)
        approvals.approve(hash, BOB)

    waiting(ONE, approve)


def test_a_schedule_cannot_wait_for_consent() -> None:
    async def scene() -> None:
        made, _ = call("deploy shop", Sender("schedule", "night", "night"))
        user = User("schedule:night", Role.ADMIN)
        await Approvals().wait(1, user, "deploy", SURE, "", made)

    with pytest.raises(Denied, match="a schedule cannot ask"):
        asyncio.run(scene())
