"""The [access …] sections: which of them decides, what it takes, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ircops import ini
from ircops.access import Access, Verdict
from ircops.bot import check
from ircops.call import Call, Sender
from ircops.config import Access as Section
from ircops.config import Network, Roles, Settings
from ircops.errors import BadConfig
from ircops.policy import Policy, Role
from ircops.rules import compiled
from ircops.ssh.inventory import Inventory
from tests.people import on_irc

ROLES = Roles(viewer=("*",), operator=("alice", "bob"), admin=("carol",))
GROUPS = {"web": "web[1-3]", "db": "db1"}
OPERATOR = Policy(Role.OPERATOR)
PROD = Section(("deploy",), when=("env=prod",), role=Role.ADMIN)


def judge(
    rules: dict[str, Section],
    who: str | Sender = "alice",
    where: str = "#ops",
    command: str = "deploy",
    hosts: str = "",
    arguments: dict[str, Any] | None = None,
    policy: Policy = OPERATOR,
    **more: Any,
) -> Verdict:
    """What comes of alice's call in #ops of a command for operators; further words are its arguments."""
    settings = Settings(
        roles=ROLES, networks={"test": Network()}, hosts={}, groups=GROUPS, access=rules
    )
    inventory, faults = Inventory(settings), list[str]()
    access = Access(settings, rules=compiled(settings, inventory.resolve, faults))
    assert not faults
    sender = on_irc(who) if isinstance(who, str) else who
    call = Call(sender, command, None, where)  # type: ignore[arg-type]
    named = inventory.resolve(hosts) if hosts else None
    values = None if arguments is None and not more else {**(arguments or {}), **more}
    return access.judge(access.identify(sender), command, policy, call, values, named)


def test_without_a_rule_the_command_decides() -> None:
    assert judge({}, env="prod") == Verdict("", ("",))
    assert judge({}, "dave", env="prod").refusal == "deploy needs role operator; yours is viewer"


def test_a_rule_asks_more_for_one_value() -> None:
    rules = {"deploy-prod": PROD}
    assert not judge(rules, env="staging").refusal
    assert not judge(rules, "carol", env="prod").refusal
    verdict = judge(rules, env="prod")
    assert verdict.refusal == "deploy needs role admin ([access deploy-prod]); yours is operator"
    assert verdict.by == ("[access deploy-prod] (ircops.ini)",)


def test_a_rule_may_ask_less() -> None:
    rules = {"x": Section(("deploy",), when=("env=test*",), role=Role.VIEWER)}
    assert not judge(rules, "dave", env="test-7").refusal
    assert judge(rules, "dave", env="prod").refusal


def test_the_first_that_fits_decides() -> None:
    lower = Section(("deploy",), when=("env=prod", "service=docs"), role=Role.OPERATOR)
    assert not judge({"a": lower, "b": PROD}, env="prod", service="docs").refusal
    assert judge({"a": lower, "b": PROD}, env="prod", service="shop").refusal
    assert judge({"b": PROD, "a": lower}, env="prod", service="docs").refusal


def test_values_of_one_argument_are_either_of_several_both() -> None:
    rules = {"x": Section(("deploy",), when=("env=prod", "env=eu-*", "dry-run=no"), deny=True)}
    assert judge(rules, env="eu-1", dry_run=False).refusal
    assert not judge(rules, env="eu-1", dry_run=True).refusal
    assert not judge(rules, env="us-1", dry_run=False).refusal
    assert not judge(rules, env=None, dry_run=False).refusal


def test_only_stars_and_question_marks_are_special() -> None:
    rules = {"x": Section(("deploy",), when=("env=a[1]?", "env=b*"), deny=True)}
    for value, is_denied in (("a[1]x", True), ("a1x", False), ("b", True), ("a[1]", False)):
        assert bool(judge(rules, env=value).refusal) is is_denied, value


def test_one_host_is_enough_to_be_asked_more() -> None:
    rules = {"db": Section(("deploy",), hosts="@db", role=Role.ADMIN)}
    assert not judge(rules, hosts="@web", arguments={}).refusal
    assert judge(rules, hosts="web1,db1", arguments={}).refusal


def test_one_host_is_not_enough_to_be_asked_less() -> None:
    rules = {"web": Section(("deploy",), hosts="@web", role=Role.OPERATOR)}
    admin_only = Policy()
    assert not judge(rules, hosts="web[1-2]", arguments={}, policy=admin_only).refusal
    assert judge(rules, hosts="web1,db1", arguments={}, policy=admin_only).refusal
    both = {**rules, "db": Section(("deploy",), hosts="@db", role=Role.OPERATOR)}
    assert not judge(both, hosts="web1,db1", arguments={}, policy=admin_only).refusal
    assert judge(rules, arguments={}, policy=admin_only).refusal


def test_one_word_of_several_is_enough_to_be_asked_more_but_not_less() -> None:
    more = {"x": Section(("deploy",), when=("service=db",), role=Role.ADMIN)}
    assert judge(more, service=("web", "db")).refusal
    less = {"x": Section(("deploy",), when=("service=web",), role=Role.OPERATOR)}
    assert not judge(less, service=("web", "web"), policy=Policy()).refusal
    assert judge(less, service=("web", "db"), policy=Policy()).refusal


def test_a_rule_says_where() -> None:
    rules = {"x": Section(("deploy",), into=("#deploys", "test/#war-room", "private", "console"))}
    for where in ("#DEPLOYS", "#war-room", ""):
        assert not judge(rules, where=where, env="x").refusal
    elsewhere = "deploy is for #deploys test/#war-room private console ([access x]); say it there"
    assert judge(rules, where="#ops", env="x").refusal == elsewhere
    other = on_irc("alice", network="other")
    assert judge(rules, other, "#war-room", env="x").refusal
    unix = Sender("console", "carol", "carol")
    assert judge({"x": Section(("deploy",), into=("#deploys",))}, unix, "", env="x").refusal


def test_a_rule_says_who_and_on_which_network() -> None:
    bob = {"x": Section(("deploy",), accounts=("bob",))}
    assert not judge(bob, "BOB", env="x").refusal
    assert judge(bob, "carol", env="x").refusal == "deploy is for bob ([access x])"
    here = {"x": Section(("deploy",), network=("other",))}
    assert judge(here, env="x").refusal == "deploy is for network other ([access x]); say it there"


def test_a_rule_on_a_group_is_about_all_in_it() -> None:
    rules = {"x": Section(("schedule", "lock *"), deny=True)}
    refusal = "nobody may run schedule run like that ([access x])"
    assert judge(rules, command="schedule run", env="x").refusal == refusal
    assert judge(rules, command="lock steal", env="x").refusal
    assert not judge(rules, command="scheduled", env="x").refusal


def test_before_the_arguments_are_known_whoever_might_be_allowed_is_let_through() -> None:
    assert not judge({"x": PROD}).refusal
    lower = {"x": Section(("deploy",), when=("env=test",), role=Role.VIEWER)}
    assert not judge(lower, "dave").refusal
    always = {"x": Section(("deploy",), role=Role.ADMIN)}
    assert judge(always).refusal == "deploy needs role admin ([access x]); yours is operator"


@pytest.mark.parametrize(
    ("sections", "faults"),
    [
        (
            "[access a]\ncommand = laod\nrole = admin",
            ['2: [access a] has laod, but there is no such command; did you mean "load"?'],
        ),
        (
            "[access a]\ncommand = greet\nwhen = nam=x\nrole = admin",
            ['3: [access a] has nam=, but greet has no such argument; did you mean "name"?'],
        ),
        (
            "[access a]\ncommand = load\nhosts = @wbe\nrole = admin",
            ["3: [access a] unknown group @wbe; did you mean @web? groups: @all @web"],
        ),
        (
            "[access a]\ncommand = *\nrole = admin\n[access b]\ncommand = load\nhosts = @web\ndeny = yes",
            [
                "4: [access b] is never reached, as [access a] in line 1 decides before; put it above, or drop it"
            ],
        ),
        (
            "[access a]\ncommand = greet\nwhen = name=p*\nrole = admin\n"
            "[access b]\ncommand = greet\nwhen = name=prod\ndeny = yes",
            [
                "5: [access b] is never reached, as [access a] in line 1 decides before; put it above, or drop it"
            ],
        ),
        (
            "[access a]\ncommand = load\nhosts = web1\nrole = admin\n"
            "[access b]\ncommand = load\nhosts = @web\ndeny = yes",
            [],
        ),
    ],
)
def test_what_cannot_be_meant_is_a_fault(tmp_path: Path, sections: str, faults: list[str]) -> None:
    path = tmp_path / "ircops.ini"
    more = (
        "[groups]\nweb = web[1-3]\n[command greet]\nrun = echo {name}\non = here\nrole = viewer\n"
    )
    path.write_text(f"{sections}\n{more}")
    found = []
    try:
        check(ini.load(path))
    except BadConfig as error:
        found = error.faults
    assert found == [f"{path}:{fault}" for fault in faults]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("command = load", "says nothing: give it role, accounts, in, network, totp or deny"),
        ("command = load\ndeny = yes\nrole = admin", "has deny and role"),
        ("role = admin", "needs a command"),
        ("command = load\nrole = admn", 'role cannot be "admn"'),
        ("command = load\nin = #opps", 'names #opps, which no network joins; did you mean "#ops"?'),
        (
            "command = load\nnetwork = hme",
            'names a network that there is not; did you mean "home"?',
        ),
        (
            "command = load\naccounts = hme/bob",
            'has hme/bob, but no such network; did you mean "home"?',
        ),
        ("command = load\nwhen = env\nrole = admin", "it is argument=value, as in env=prod"),
        ("command = load\nrol = admin", 'unknown key "rol" in [access a]; did you mean "role"?'),
    ],
)
def test_a_typo_is_a_fault_and_never_a_right(tmp_path: Path, keys: str, fault: str) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(f"[network home]\nserver = a:1\nchannels = #ops\n[access a]\n{keys}\n")
    with pytest.raises(BadConfig) as caught:
        ini.load(path)
    assert fault in caught.value.message
