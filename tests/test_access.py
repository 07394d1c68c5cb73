"""Rights hang on what a door proves."""

from __future__ import annotations

import asyncio

import pytest

from ircops.access import Access
from ircops.call import Sender
from ircops.config import Channel, Network, Roles, Schedule, Settings
from ircops.errors import Denied
from ircops.policy import Policy, Role
from tests.people import call, on_irc

ROLES = Roles(
    viewer=("*",), operator=("alice", "mask:*!*@10.0.0.*"), admin=("carol", "unix:deploy")
)


def access(**more: object) -> Access:
    return Access(Settings(roles=ROLES, networks={"test": Network()}, **more), frozenset({"root"}))  # type: ignore[arg-type]


def test_an_account_has_its_highest_role() -> None:
    both = Settings(roles=Roles(viewer=("alice",), admin=("alice",)))
    assert Access(both).identify(on_irc("alice")).role is Role.ADMIN


def test_a_nick_proves_nothing() -> None:
    assert access().identify(on_irc("carol", account="")).role is Role.VIEWER


def test_account_names_fold_ascii_letters_only() -> None:
    assert access().identify(on_irc("x", account="ALICE")).role is Role.OPERATOR
    kelvin = Access(Settings(roles=Roles(admin=("kate",))))
    assert kelvin.identify(on_irc("x", account="\N{KELVIN SIGN}ate")).role is Role.NOBODY


def test_star_means_in_a_channel_of_ours() -> None:
    assert access().identify(on_irc("eve", in_channel=False)).role is Role.NOBODY
    assert access().identify(on_irc("eve")).role is Role.VIEWER


def test_a_mask_matches_as_on_irc() -> None:
    assert access().identify(on_irc("eve", account="", mask="eve!e@10.0.0.7")).role is Role.OPERATOR
    assert access().identify(on_irc("eve", account="", mask="eve!e@10x0.0.7")).role is Role.VIEWER


def test_a_mask_of_one_network_may_hold_slashes() -> None:
    settings = Settings(
        roles=Roles(admin=("one/mask:*!*@gateway/web/*",)),
        networks={"one": Network(), "two": Network()},
    )
    for network, role in (("one", Role.ADMIN), ("two", Role.NOBODY)):
        eve = on_irc("eve", account="", mask="eve!e@gateway/web/x", network=network)
        assert Access(settings).identify(eve).role is role


def test_an_account_of_one_network_is_not_that_of_another() -> None:
    settings = Settings(
        roles=Roles(admin=("one/alice",)), networks={"one": Network(), "two": Network()}
    )
    rights = Access(settings)
    assert rights.identify(on_irc("alice", network="one")).role is Role.ADMIN
    stranger = rights.identify(on_irc("alice", network="two"))
    assert (stranger.role, stranger.name) == (Role.NOBODY, "two/alice")


@pytest.mark.parametrize(
    "name, role", [("root", Role.ADMIN), ("deploy", Role.ADMIN), ("eve", Role.NOBODY)]
)
def test_the_console_knows_unix_users(name: str, role: Role) -> None:
    assert access().identify(Sender("console", name, name)).role is role


def test_an_irc_account_named_like_a_unix_entry_is_nobody() -> None:
    assert (
        access().identify(on_irc("x", account="unix:deploy", in_channel=False)).role is Role.NOBODY
    )


def test_a_schedule_has_the_role_its_section_states() -> None:
    rights = access(schedules={"morning": Schedule(role=Role.OPERATOR)})
    assert rights.identify(Sender("schedule", "morning", "morning")).role is Role.OPERATOR
    assert rights.identify(Sender("schedule", "gone", "gone")).role is Role.NOBODY


def check(rights: Access, sender: Sender, policy: Policy, where: str = "#ops") -> None:
    async def checked() -> None:
        made, _ = call("load @web", sender, where)
        rights.check(rights.identify(sender), "load", policy, made)

    asyncio.run(checked())


def test_a_refusal_says_what_it_takes() -> None:
    with pytest.raises(Denied, match="^load needs role admin; yours is operator$"):
        check(access(), on_irc("alice"), Policy())
    with pytest.raises(Denied, match="log in, and say it again"):
        check(access(), on_irc("carol", account=""), Policy())


def test_nobody_is_told_to_log_in_where_that_is_no_use() -> None:
    masks = Access(Settings(roles=Roles(viewer=("*",), admin=("mask:*!*@10.0.0.1", "unix:root"))))
    with pytest.raises(Denied, match="^load needs role admin; yours is viewer$"):
        check(masks, on_irc("eve", account=""), Policy())


def test_a_channel_may_allow_few_commands() -> None:
    rights = access(channels={"#OPS": Channel(commands=("help", "ping"))})
    with pytest.raises(Denied, match="^load is not for #ops; here: help ping$"):
        check(rights, on_irc("carol"), Policy())
    check(rights, on_irc("carol"), Policy(), where="")
