"""Ansible's files: every fault has its line, and what ansible passes over is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from ircops.ssh.ansible_files import read


def faults(tmp_path: Path, name: str, text: str) -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    return [fault.removeprefix(f"{path}:") for fault in read((path,)).faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("web1\n[web:var]\n", "2: [web:var] is not known; did you mean [web:vars]?"),
        ("[web\n", "1: [web is no host; write web1 or web[01:50]"),
        ("[a:children]\nnowhere\n", "2: group nowhere is defined nowhere; write [nowhere]"),
        ("[web]\nweb1\n[wbe:vars]\n", "3: group wbe is defined nowhere; write [wbe]"),
        ("web1 'x\n", "1: No closing quotation"),
        ("web1 10.0.0.1\n", "1: 10.0.0.1 is not key=value"),
        ("web[3:aa]\n", "1: web[3:aa] is no range of names; write web[01:50] or db-[a:f]"),
        ("web[1:99999999]\n", "1: web[1:99999999] is more than 10000 hosts; name fewer"),
        ("a[1:200]b[1:200]\n", "1: a[1:200]b[1:200] makes it more than 10000 hosts; name fewer"),
    ],
)
def test_a_fault_in_an_ini_file_has_its_line(tmp_path: Path, text: str, fault: str) -> None:
    assert faults(tmp_path, "hosts", text) == [fault]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("all:\n  hosts: [web1]\n", "2: here are names with a colon each"),
        ("all:\n  host:\n    web1:\n", "2: host is none of hosts, children and vars"),
        ("all:\n  hosts:\n    web1: {\n", "4: no YAML: "),
        ("all: &a\n  children:\n    all: *a\n", "3: groups go deeper than 50; is it a circle?"),
        ("all:\n  hosts:\n    'web 1':\n", "3: web 1 is no host"),
    ],
)
def test_a_fault_in_a_yaml_file_has_its_line(tmp_path: Path, text: str, fault: str) -> None:
    (told,) = faults(tmp_path, "hosts.yml", text)
    assert told.startswith(fault)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (fault,) = read((tmp_path / "none",)).faults
    assert fault == f"{tmp_path}/none: no such file or directory; see inventory in [hosts]"


def test_a_file_of_other_bytes_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_bytes(b"web\xff\n")
    (fault,) = read((tmp_path / "hosts",)).faults
    assert fault == f"{tmp_path}/hosts: not UTF-8; save the file as UTF-8"


def test_in_a_directory_backups_hidden_and_vaulted_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.bak", "b~", ".hidden", "README.md"):
        (tmp_path / name).write_text("[[[\n")
    for name in ("hosts", "sub/more.ini", "group_vars/web/vars.yml", "group_vars/web/vault.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "hosts").write_text("[web]\nweb1\n::1 ansible_port=7\n")
    (tmp_path / "sub" / "more.ini").write_text("web2\n")
    (tmp_path / "group_vars" / "web" / "vars.yml").write_text("ansible_user: ops\n")
    (tmp_path / "group_vars" / "web" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n61\n")
    tree = read((tmp_path,))
    assert tree.faults == []
    assert list(tree.hosts) == ["web1", "::1", "web2"]
    assert tree.group_files["web"]["ansible_user"].text == "ops"


def test_no_variable_but_those_of_the_connection_is_kept(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("web1 ansible_password=hunter2 ansible_user=ops secret=x\n")
    assert list(read((tmp_path / "hosts",)).hosts["web1"]) == ["ansible_user"]


def test_five_thousand_hosts_are_read_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[web]\nweb[0001:5000] ansible_user=ops\n")
    assert len(read((tmp_path / "hosts",)).hosts) == 5000
