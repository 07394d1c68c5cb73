"""Ansible inventories: what they mean for each host, programs that are asked, and what happens when they change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ircops.config import HostLine
from ircops.ssh import ansible_programs
from ircops.ssh.ansible import AGE, RETRY, Ansible

INI = """\
lonely ansible_host=10.9.9.9  # by itself
[web]
web[01:03].example.org:2222 ansible_user=ops
web-[a:c] ansible_host=10.0.0.7 ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p -q ops@gate"'
[db]
db[1:6:2]
[prod:children]
web
db
[prod:vars]
ansible_user=prod
ansible_port = 22022
rack = 7
[web:vars]
ansible_user="webby"
"""

YAML = """\
all:
  vars: {ansible_user: everyone}
  hosts:
    solo: {ansible_host: 10.1.1.1, ansible_port: 2200}
  children:
    cache:
      hosts:
        cache[1:2]: {ansible_user: c}
        db1:
      vars: &way
        ansible_ssh_private_key_file: /k/cache
    east:
      children:
        cache:
        web:
      vars:
        <<: *way
"""


@pytest.fixture(autouse=True)
def without_ansible(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test puts into tmp_path/bin is found."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")


def files(base: Path, **texts: str) -> Path:
    """Write files, `__` in a name for each slash and `_yml` at its end for .yml; give the directory."""
    for name, text in texts.items():
        path = base / "inv" / name.replace("__", "/").replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base / "inv"


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_directory_means_what_ansible_says_it_does(tmp_path: Path) -> None:
    """The answer of ansible-inventory 2.19 to the same files."""
    base = files(
        tmp_path,
        hosts=INI,
        more_yml=YAML,
        ignored__host_vars__x="",
        group_vars__all_yml="ansible_ssh_common_args: -J gate\ndb_password: hunter2\n",
        group_vars__db__main_yml="ansible_user: dba\n",
        host_vars__db3="ansible_port: 5\n",
    )
    inventory = Ansible((base,))
    found = inventory.found()
    assert inventory.faults == [] and found.why_not == {}
    key = Path("/k/cache")
    web = HostLine("", 2222, "ops", key, "gate")
    behind_gate = HostLine("10.0.0.7", 22022, "webby", key, "ops@gate")
    assert found.hosts == {
        "lonely": HostLine("10.9.9.9", 0, "everyone", None, "gate"),
        "solo": HostLine("10.1.1.1", 2200, "everyone", None, "gate"),
        "cache1": HostLine("", 0, "c", key, "gate"),
        "cache2": HostLine("", 0, "c", key, "gate"),
        "db1": HostLine("", 22022, "dba", key, "gate"),
        "db3": HostLine("", 5, "dba", None, "gate"),
        "db5": HostLine("", 22022, "dba", None, "gate"),
        **{f"web0{number}.example.org": web for number in (1, 2, 3)},
        **{f"web-{letter}": behind_gate for letter in "abc"},
    }
    sizes = {name: len(hosts) for name, hosts in found.groups.items()}
    assert sizes == {"web": 6, "db": 3, "prod": 9, "cache": 3, "east": 9}


@pytest.mark.parametrize(
    ("values", "why_not"),
    [
        ("ansible_host: !vault |\n  $ANSIBLE_VAULT;1.1\n", "ansible_host is vaulted, which"),
        ("ansible_user: '{{ me }}'\n", "ansible_user is a template, which ansible alone fills in"),
        ("ansible_connection: winrm\n", "ansible_connection is winrm"),
        ("ansible_port: many\n", "ansible_port is many"),
        ("ansible_ssh_common_args: -o ProxyCommand='nc %h 22'\n", "is more than -J HOST"),
    ],
)
def test_a_host_that_cannot_be_reached_says_why_and_the_others_are_good(
    tmp_path: Path, values: str, why_not: str
) -> None:
    base = files(tmp_path, hosts="web1\nweb2\n", host_vars__web1_yml=values)
    found = Ansible((base / "hosts",)).found()
    assert list(found.why_not) == ["web1"] and why_not in found.why_not["web1"]
    assert f"({base}/host_vars/web1.yml:1)" in found.why_not["web1"]


@pytest.mark.parametrize(
    ("arguments", "jump"),
    [
        ("-J gate", "gate"),
        ("-C -o ControlMaster=auto -Jops@gate:2222", "ops@gate:2222"),
        ("-o ProxyJump=a,b", "a,b"),
        ("-o 'ProxyJump a'", "a"),
        ("-oProxyJump=none", "none"),
        ('-o ProxyCommand="ssh -W %h:%p gate"', "gate"),
        ("-o StrictHostKeyChecking=no", ""),
    ],
)
def test_a_jump_host_is_found_in_the_arguments_of_ssh(
    tmp_path: Path, arguments: str, jump: str
) -> None:
    base = files(tmp_path, group_vars__all=f"ansible_ssh_common_args: {json.dumps(arguments)}\n")
    (base / "hosts").write_text("web1\n")
    assert Ansible((base,)).found().hosts["web1"].jump == jump


def test_a_change_is_seen_and_a_broken_one_keeps_what_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = files(tmp_path, hosts="web1\n")
    inventory = Ansible((base / "hosts",))
    first = inventory.found()
    assert inventory.found() is first
    (base / "hosts").write_text("web1\nweb2\n")
    assert list(inventory.found().hosts) == ["web1", "web2"]
    (base / "hosts").write_text("web1\nweb2\nweb[3\n")
    for _ in range(2):
        assert list(inventory.found().hosts) == ["web1", "web2"]
    assert inventory.faults == [f"{base}/hosts:3: web[3 is no host; write web1 or web[01:50]"]
    assert len(caplog.records) == 1
    files(tmp_path, hosts="web9\n", group_vars__all="ansible_user: ops\n")
    assert inventory.found().hosts == {"web9": HostLine(user="ops")}
    assert inventory.faults == []


def test_a_program_is_asked_and_asked_again_when_its_answer_is_old(tmp_path: Path) -> None:
    answer = {
        "web": {"hosts": ["web1", "web2"], "vars": {"ansible_user": "ops"}},
        "all": {"children": ["web", "ungrouped"]},
        "db": ["db1", "not,a name"],
        "_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1", "ansible_password": "x"}}},
    }
    (tmp_path / "answer").write_text(json.dumps(answer))
    path = program(tmp_path / "cloud", f'test "$1" = --list && /bin/cat {tmp_path}/answer')
    now = 0.0
    inventory = Ansible((path,), lambda: now)
    found = inventory.found()
    assert found.hosts == {
        "web1": HostLine("10.0.0.1", user="ops"),
        "web2": HostLine(user="ops"),
        "db1": HostLine(),
    }
    assert found.groups == {"web": ["web1", "web2"], "db": ["db1"]}
    (tmp_path / "answer").write_text("no JSON")
    assert inventory.found() is found
    now += AGE
    assert inventory.found() is found  # it failed: the old stays
    assert "its answer is no JSON" in inventory.faults[0]
    assert inventory.check()[0] == []  # not the operator's fault
    (tmp_path / "answer").write_text('{"web": ["web7"]}')
    now += RETRY
    assert list(inventory.found().hosts) == ["web7"]
    assert inventory.faults == []


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo hunter2 >&2; exit 3", "exit code 3; the log has what it said"), ("/bin/sleep 60", "s")],
)
def test_a_program_that_fails_or_hangs_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(ansible_programs, "PATIENCE", 0.2)
    inventory = Ansible((program(tmp_path / "cloud", script),))
    assert inventory.found().hosts == {}
    assert inventory.faults[0].endswith(why) and "hunter2" not in inventory.faults[0]


def test_an_installed_ansible_is_asked_for_all_of_it(tmp_path: Path) -> None:
    base = files(tmp_path, aws_yml="plugin: amazon.aws.aws_ec2\n", hosts="web1\n")
    inventory = Ansible((base / "aws.yml", base / "hosts"))
    assert inventory.check()[0] == [
        f"{base}/aws.yml:1: plugin amazon.aws.aws_ec2 needs ansible; install ansible-core"
    ]
    program(tmp_path / "bin" / "ansible-inventory", f'echo "$@" > {tmp_path}/asked; echo "{{}}"')
    os.utime(base / "hosts", ns=(1, 1))
    assert inventory.check() == ([], [])
    assert (tmp_path / "asked").read_text() == f"-i {base}/aws.yml -i {base}/hosts --list\n"


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    base = files(tmp_path, hosts="[a:children]\nb\n[b:children]\na\n[b]\nweb1\n")
    found = Ansible((base,)).found()
    assert found.groups == {"a": ["web1"], "b": ["web1"]}


@pytest.mark.parametrize("part", ["null", "7", '"web1"', "[null, [1]]", '{"a": {}}'])
@pytest.mark.parametrize("key", ["hosts", "children", "vars"])
def test_whatever_a_program_answers_is_no_fault_of_ours(
    tmp_path: Path, key: str, part: str
) -> None:
    text = f'{{"web": {{"{key}": {part}}}, "db": {part}, "_meta": {{"hostvars": {part}}}}}'
    inventory = Ansible((program(tmp_path / "cloud", f"echo '{text}'"),))
    assert set(inventory.found().hosts) <= {"a", "None"}
    assert inventory.faults == []
