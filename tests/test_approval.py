"""Consent: by whom, to what, for how long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ircops.approval import Approvals, Judge
from ircops.call import Call, Sender, User
from ircops.errors import Denied, OpsError, Stopped
from ircops.policy import Policy, Role
from tests.people import ALICE, BOB, CAROL, DAVE, Heard, a_plan, call, on_irc, until

TWO = Policy(Role.OPERATOR, approvals=2)
ONE = Policy(Role.OPERATOR, approvals=1)
SURE = Policy(Role.OPERATOR, confirm=True)

Answer = Callable[[Approvals, str, Call], Awaitable[None]]


def anybody(user: User, sender: Sender) -> str:
    return ""


def waiting(
    policy: Policy, answer: Answer, expiry: float = 30, judge: Judge = anybody
) -> tuple[tuple[str, ...], Heard]:
    """Alice asks; `answer` is called with the hash; gives the approvers, and what was said."""

    async def scene() -> tuple[tuple[str, ...], Heard]:
        approvals = Approvals(expiry)
        made, heard = call("deploy shop")
        waiter = asyncio.create_task(approvals.wait(a_plan(policy), ALICE, made, judge))
        await until(lambda: heard.said or waiter.done())
        if heard.said:
            await answer(approvals, heard.lines[0].split("!")[1].split()[1], made)
        return await waiter, heard

    return asyncio.run(scene())


async def nothing(approvals: Approvals, hash: str, made: Call) -> None:
    pass


def test_the_plan_is_shown_with_its_hosts_and_hash() -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        assert approvals.approve(hash, BOB, on_irc("bob")) == f"{hash}: go"

    approvers, heard = waiting(ONE, approve)
    assert approvers == ("bob",)
    assert heard.lines[0].startswith(
        "deploy shop on web[1-2], script 1f3a1f3a1f3a: needs one approval: !approve "
    )


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
            approvals.approve(hash, by, on_irc(by.name))
        approvals.approve(hash, BOB, on_irc("bob"))

    waiting(ONE, approve)


def test_two_approvals_are_two_accounts() -> None:
    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        assert "needs one approval" in approvals.approve(hash, BOB, on_irc("bob"))
        with pytest.raises(Denied, match="another account"):
            approvals.approve(hash, BOB, on_irc("bob"))
        approvals.approve(hash, CAROL, on_irc("carol"))

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
            approvals.approve("zzzz", BOB, on_irc("bob"))
        approvals.approve(hash, BOB, on_irc("bob"))

    waiting(ONE, approve)


def test_a_schedule_cannot_wait_for_consent() -> None:
    async def scene() -> None:
        made, _ = call("deploy shop", Sender("schedule", "night", "night"))
        user = User("schedule:night", Role.ADMIN)
        await Approvals().wait(a_plan(SURE), user, made, anybody)

    with pytest.raises(Denied, match="a schedule cannot ask"):
        asyncio.run(scene())


def test_who_might_not_run_it_there_cannot_approve_it() -> None:
    def judge(user: User, sender: Sender) -> str:
        return "deploy asks for #deploys" if sender.network == "elsewhere" else ""

    async def approve(approvals: Approvals, hash: str, made: Call) -> None:
        there = on_irc("bob", network="elsewhere")
        with pytest.raises(Denied, match="allowed to run it: deploy asks for #deploys"):
            approvals.approve(hash, BOB, there)
        approvals.approve(hash.upper(), BOB, on_irc("bob"))

    assert waiting(ONE, approve, judge=judge)[0] == ("bob",)


def test_no_hash_is_the_beginning_of_another() -> None:
    async def scene() -> None:
        approvals, hashes = Approvals(), []
        made, _ = call("deploy shop")
        tasks = []
        for _ in range(3):  # the same plan three times over, which its number rules out elsewhere
            tasks.append(asyncio.create_task(approvals.wait(a_plan(ONE), ALICE, made, anybody)))
            await asyncio.sleep(0)
            hashes.append(approvals.waiting[-1].hash)
        assert [len(hash) for hash in hashes] == [4, 5, 6]
        made.stop.ask("enough")
        await asyncio.gather(*tasks, return_exceptions=True)
        assert approvals.waiting == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    "other, told",
    [
        ({"hosts": "web[1-3]"}, r"hosts were web\[1-2\] and are web\[1-3\] now"),
        ({"facts": {"script": "beef"}}, "its script is another one now"),
        ({"facts": {}}, "its script is another one now"),
        ({"policy": TWO}, "what it asks for was changed"),
        ({"arguments": {"name": ("bank",)}}, "its words mean something else now"),
        ({"locks": ("deploy",)}, "its words mean something else now"),
    ],
)
def test_a_plan_that_is_another_says_what_changed(other: dict[str, Any], told: str) -> None:
    plan = a_plan(ONE)
    assert plan.change(a_plan(ONE)) == ""
    now = a_plan(**({"policy": ONE} | other))
    assert re.search(told, plan.change(now))
    assert now.digest != plan.digest
