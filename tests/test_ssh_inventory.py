"""Hosts by name: node sets and groups, what is known, and how each host is reached."""

from __future__ import annotations

import getpass
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st

from ircops.config import HostLine, Settings, Ssh
from ircops.errors import OpsError
from ircops.ssh.inventory import HOSTS, Inventory

GROUPS = {
    "web": "web[1-4]",
    "db": "db1 db2",
    "prod": "@web, @db",
    "canary": "@prod & web1",
    "calm": "@all!gate",
    "spare": "",
}


def inventory(
    groups: dict[str, str] = GROUPS, hosts: dict[str, HostLine] | None = None, **ssh: Any
) -> Inventory:
    hosts = {"gate": HostLine("10.0.0.9"), "web1": HostLine()} if hosts is None else hosts
    return Inventory(
        Settings(hosts=hosts, groups=groups, ssh=Ssh(**{"config": Path("/nowhere"), **ssh}))
    )


def configured(
    tmp_path: Path, text: str, hosts: dict[str, HostLine] | None = None, **ssh: Any
) -> Inventory:
    path = tmp_path / "config"
    path.write_text(text)
    return inventory({"some": "web[1-3],gate,inner"}, hosts or {}, config=path, **ssh)


def refusal(text: str, known: Inventory | None = None) -> str:
    with pytest.raises(OpsError) as caught:
        (known or inventory()).resolve(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("web1", "web1"),
        ("web[1-3]", "web[1-3]"),
        ("@web", "web[1-4]"),
        ("@db,web1", "db[1-2],web1"),
        ("@web ! web2", "web[1,3-4]"),
        ("@prod&web[2-4]", "web[2-4]"),
        ("@web^web1", "web[2-4]"),
        ("web1 web2\n web3", "web[1-3]"),
        ("web*", "web[1-4]"),
        ("@canary", "web1"),
        ("@calm", "web1"),
        ("@all", "db[1-2],gate,web[1-4]"),
        ("@*", "db[1-2],gate,web[1-4]"),
        ("*", "db[1-2],gate,web[1-4]"),
    ],
)
def test_text_names_hosts(text: str, hosts: str) -> None:
    assert str(inventory().resolve(text)) == hosts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("web9", "unknown host web9; known: web[1-4]"),
        ("web[3-6]", "unknown host web[5-6]; known: web[1-4]"),
        ("wbe1", "unknown host wbe1; known: web[1-4]"),
        ("web", "unknown host web; did you mean @web?"),
        ("xyz", "unknown host xyz; known: db[1-2],gate,web[1-4]"),
        ("@web!wbe1", "unknown host wbe1; known: web[1-4]"),
        (
            "@wbe",
            "unknown group @wbe; did you mean @web? groups: @all @calm @canary @db @prod @spare @web",
        ),
        (
            "@web:x",
            "no host has a variable web; give them one in [hosts]: web1 = web=…",
        ),
        ("@spare", "@spare is no host; known: db[1-2],gate,web[1-4]"),
        ("@web&@db", "@web&@db is no host; known: db[1-2],gate,web[1-4]"),
        (" ", "nothing is no host; known: db[1-2],gate,web[1-4]"),
        ("*x", "*x matches no host; known: db[1-2],gate,web[1-4]"),
        ("web1,*x", "*x matches no host; known: db[1-2],gate,web[1-4]"),
        ("@web!w?b9", "w?b9 matches no host; known: db[1-2],gate,web[1-4]"),
        ("web[1-", 'web[1- is no host set: missing bracket: "web[1-"'),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest(text: str, sentence: str) -> None:
    assert refusal(text) == sentence


@pytest.mark.parametrize(
    "text", ["web[1-1000000000]", "a[1-999]b[1-999]", f"web[1-{10**30}]", f"web[{10**30}-{10**31}]"]
)
def test_a_set_beyond_all_bounds_is_refused_before_it_is_made(text: str) -> None:
    assert refusal(text) == f"{text} is more than 10000 hosts; name fewer"


def test_threads_that_are_first_at_once_build_the_nodes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, made = inventory(), list[object]()
    real, all_here = known._made, threading.Barrier(8)

    def slow(found: Any, joined: Any) -> Any:
        made.append(found)
        threading.Event().wait(0.2)  # time for the others to come
        return real(found, joined)

    monkeypatch.setattr(known, "_made", slow)

    def ask(number: int) -> Any:
        all_here.wait(10)
        return known.resolve("@web") if number % 2 else known.host("web1")

    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(ask, range(8)))) == 8
    assert len(made) == 1


def test_groups_that_hold_each_other_are_refused_and_the_others_are_good() -> None:
    known = inventory({**GROUPS, "a": "@b", "b": "@c,db1", "c": "@a"})
    assert refusal("@a", known) == "group @a holds itself: @a -> @b -> @c -> @a"
    assert str(known.resolve("@web")) == "web[1-4]"
    assert sorted(known.groups) == sorted(GROUPS)


def test_the_operator_may_say_what_all_is() -> None:
    known = inventory({**GROUPS, "all": "@prod"})
    assert str(known.resolve("@all")) == str(known.all) == "db[1-2],web[1-4]"
    assert str(known.resolve("gate")) == "gate"


def test_without_any_host_the_way_to_name_some_is_said() -> None:
    assert refusal("web1", inventory({}, {})) == (
        "unknown host web1; none are known yet: name them in [hosts] or [groups]"
    )


def test_a_long_list_within_a_sentence_is_cut() -> None:
    names = {
        f"host{chr(97 + number % 26)}{chr(97 + number // 26)}-{number}": HostLine()
        for number in range(100)
    }
    assert len(refusal("zzz", inventory({}, names))) < 300


def test_a_set_that_was_resolved_asks_for_no_groups_again() -> None:
    assert str(inventory().resolve("@web").intersection("@db,web1")) == "web1"


@given(st.text(alphabet="web1-9[],!&^@*?% :/ä", max_size=30))
def test_any_text_is_hosts_or_a_sentence(text: str) -> None:
    try:
        assert inventory().resolve(text) <= NodeSet("db[1-2],gate,web[1-4]")
    except OpsError as error:
        assert "\n" not in error.message


def test_hosts_of_ssh_config_are_known_but_not_all_of_ours(tmp_path: Path) -> None:
    known = configured(tmp_path, "Host gate other *.example !x\n  User carol\nhost=third\n")
    assert str(known.resolve("other,third")) == "other,third"
    assert "other" not in known.all
    assert refusal("x", known).startswith("unknown host x;")


def test_hosts_over_ssh_config_over_ssh(tmp_path: Path) -> None:
    known = configured(
        tmp_path,
        "Host web1 web2\n  HostName %h.example\n  User carol\n  Port 2222\n  IdentityFile /k/own\n"
        "  IdentitiesOnly yes\n  HostKeyAlias web\n",
        {"web1": HostLine("10.0.0.1", 22, "ops", Path("/k/line"), "", "SHA256:abc")},
        user="deploy",
        key=(Path("/k/all"),),
    )
    first, second, third = (known.host(f"web{number}") for number in (1, 2, 3))
    assert (first.address, first.port, first.user, first.keys) == (
        "10.0.0.1",
        22,
        "ops",
        (Path("/k/line"),),
    )
    assert (first.pin, first.alias, first.only_these_keys) == ("SHA256:abc", "web", True)
    assert (second.address, second.port, second.user) == ("web2.example", 2222, "carol")
    assert second.keys == (Path("/k/own"), Path("/k/all"))
    assert (third.address, third.port, third.user, third.keys) == (
        "web3",
        22,
        "deploy",
        (Path("/k/all"),),
    )


def test_without_any_word_it_is_our_own_user_and_the_usual_keys() -> None:
    host = inventory().host("web2")
    assert (host.user, host.port, host.keys, host.jump) == (getpass.getuser(), 22, (), None)


def test_jump_hosts_form_a_chain(tmp_path: Path) -> None:
    known = configured(
        tmp_path,
        "Host inner\n  ProxyJump carol@gate:2222,web1\nHost gate\n  User ops\n  HostName 10.0.0.9\n",
        {"web2": HostLine(jump="inner"), "web3": HostLine(jump="ssh://[::1]:7")},
    )
    inner = known.host("inner")
    assert inner.jump is not None and inner.jump.jump is not None
    assert inner.jump.name == "web1"
    gate = inner.jump.jump
    assert (gate.name, gate.address, gate.port, gate.user, gate.jump) == (
        "gate",
        "10.0.0.9",
        2222,
        "carol",
        None,
    )
    assert known.host("web2").jump == inner
    far = known.host("web3").jump
    assert far is not None and (far.address, far.port) == ("::1", 7)


def test_a_jump_host_for_all_is_reached_directly(tmp_path: Path) -> None:
    known = configured(tmp_path, "Host *\n  ProxyJump gate\n")
    assert known.host("gate").jump is None
    assert known.host("web1").jump == known.host("gate")


def test_jump_hosts_in_a_circle_are_refused(tmp_path: Path) -> None:
    known = configured(tmp_path, "Host web1\n  ProxyJump web2\nHost web2\n  ProxyJump web1\n")
    with pytest.raises(OpsError, match="jump hosts in a circle: web1 -> web2 -> web1"):
        known.host("web1")


def test_a_line_of_hosts_can_do_without_the_jump_of_ssh_config(tmp_path: Path) -> None:
    config = "Host *\n  ProxyJump gate\nHost web2\n  ProxyCommand nc %h %p\n"
    known = configured(
        tmp_path, config, {"web1": HostLine(jump="none"), "web2": HostLine(jump="none")}
    )
    assert known.host("web1").jump is None
    assert known.host("web2").proxy_command == "nc web2 22"


def test_ssh_config_is_read_again_when_it_changes(tmp_path: Path) -> None:
    known = configured(tmp_path, "Host web1\n  User old\n")
    assert known.host("web1").user == "old"
    path = tmp_path / "config"
    path.write_text("Host web1 brandnew\n  User new\n")
    os.utime(path, ns=(1, 1))
    assert known.host("web1").user == "new"
    assert known.host("brandnew").user == "new"
    path.unlink()
    assert known.host("web1").user == getpass.getuser()


@pytest.mark.parametrize(
    "text", ["Host web1\n  Port many\n", "Host web1\n  ==\n", "Host 'web1\n", "\x00\xff"]
)
def test_a_faulty_ssh_config_is_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(OpsError, match=f"^{tmp_path}/config"):
        configured(tmp_path, text).host("web1")


def test_match_blocks_hold(tmp_path: Path) -> None:
    known = configured(tmp_path, "Match host web1\n  User matched\nHost web2\n  User carol\n")
    assert [known.host(name).user for name in ("web1", "web2")] == ["matched", "carol"]


def rooms(**rooms: str) -> Inventory:
    hosts = {name: HostLine(variables=(("room", room),)) for name, room in rooms.items()}
    return inventory({"cold": "@room:attic"}, hosts)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("@room:attic", "web[1-2]"),
        ("@room:attic!web1", "web2"),
        ("@room:*", "db1,web[1-2]"),
        ("@cold", "web[1-2]"),
    ],
)
def test_a_variable_of_hosts_makes_groups_of_them(text: str, hosts: str) -> None:
    known = rooms(web1="attic", web2="attic", db1="cellar")
    assert str(known.resolve(text)) == hosts
    assert known.variables("db1") == {"room": "cellar"}


def test_a_value_that_no_host_has_is_refused_with_those_there_are() -> None:
    known = rooms(web1="attic", db1="cellar")
    sentence = "no host has room=hall; there are @room:attic @room:cellar"
    assert refusal("@room:hall", known) == sentence
    assert refusal("@rom:attic", known) == "no host has a variable rom; there are @room:…"


def listed(tmp_path: Path, text: str, **settings: Any) -> Inventory:
    """An inventory with a file of ansible's."""
    (tmp_path / "hosts").write_text(text)
    ssh = Ssh(config=Path("/nowhere"))
    return Inventory(Settings(inventory=(tmp_path / "hosts",), ssh=ssh, **settings))


def test_hosts_and_groups_of_ansible_are_known_and_ours_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no ansible
    known = listed(
        tmp_path,
        "[web]\nweb[1:3] ansible_host=10.0.0.1 ansible_user=ops\n[db]\ndb1 ansible_host={{x}}\n",
        hosts={"web2": HostLine("10.7.7.7")},
        groups={"db": "db1,web3", "both": "@web,@db"},
    )
    assert str(known.resolve("@web")) == "web[1-3]"
    assert str(known.resolve("@both,@db")) == str(known.all) == "db1,web[1-3]"
    assert str(known.host("web1")) == "ops@10.0.0.1"
    assert known.host("web2").address == "10.7.7.7"
    with pytest.raises(OpsError, match="ansible_host is a template"):
        known.host("db1")
    faults, notes = known.check()
    assert faults == []
    assert [note.partition(": ")[2].partition(",")[0] for note in notes] == [
        "ansible_host is a template",
        "web2 is in the inventory",
        "db is in the inventory",
    ]
    (tmp_path / "hosts").write_text("[web]\nweb7\n")
    assert str(known.resolve("@web")) == "web7"
    (tmp_path / "hosts").write_text("[web\n")
    assert str(known.resolve("@web")) == "web7"
    assert known.faults == [f"{tmp_path}/hosts:1: [web is no host; write web1 or web[01:50]"]


def test_a_host_is_shown_as_ssh_would_be_told(tmp_path: Path) -> None:
    known = configured(
        tmp_path, "Host web1\n  User ops\n  Port 7\n  HostName ::1\n  ProxyJump gate\n"
    )
    assert str(known.host("web1")) == f"ops@[::1]:7 through {getpass.getuser()}@gate"


@click.command()
@click.argument("hosts", type=HOSTS)
def load(hosts: NodeSet) -> None:
    click.echo(f"{len(hosts)}: {hosts}")


class Call:
    """As much of the `obj` of a call as HOSTS looks at."""

    inventory = inventory()


def test_hosts_of_a_command_are_a_node_set() -> None:
    assert CliRunner().invoke(load, ["@web"], obj=Call()).output == "4: web[1-4]\n"


def test_an_unknown_host_is_a_usage_error_in_our_words() -> None:
    result = CliRunner().invoke(load, ["web9"], obj=Call())
    assert result.exit_code == 2
    assert "unknown host web9; known: web[1-4]" in result.output
