"""~/.ssh/config: Includes, Match, and what a change or a fault in it does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ircops.errors import OpsError
from ircops.ssh.ssh_config import SshConfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh" / "config.d").mkdir(parents=True)
    return tmp_path


def config(home: Path, text: str, **others: str) -> SshConfig:
    (home / ".ssh" / "config").write_text(text)
    for name, other in others.items():
        (home / ".ssh" / "config.d" / name).write_text(other)
    return SshConfig(home / ".ssh" / "config")


def test_includes_are_followed_and_the_block_goes_on_after_them(home: Path) -> None:
    found = config(
        home,
        "Include config.d/*\nHost web1\n  Include ~/.ssh/config.d/port none\n  HostName 10.0.0.1\n",
        first="Host web2\n  User two\n",
        port="Port 2222\n",
    )
    assert found.names == {"web1", "web2"}
    assert found.lookup("web2")["user"] == "two"
    assert found.lookup("web1")["hostname"] == "10.0.0.1"
    assert found.lookup("web1")["port"] == 2222


def test_each_of_several_files_begins_where_the_include_stands(home: Path) -> None:
    found = config(
        home, "Include config.d/*\n", a="Host web1\n  User one\n", b="Include none\nPort 7\n"
    )
    assert (found.lookup("web1")["user"], found.lookup("web2")["port"]) == ("one", 7)


def test_what_is_included_within_a_block_holds_there_only(home: Path) -> None:
    found = config(
        home, "Host web1\n  Include config.d/user\nHost *\n  Port 7\n", user="User ops\n"
    )
    assert (found.lookup("web1")["user"], found.lookup("web1")["port"]) == ("ops", 7)
    assert "user" not in found.lookup("web2")


def test_a_file_that_joins_a_pattern_later_is_seen(home: Path) -> None:
    found = config(home, "Include config.d/*.conf\n")
    assert found.names == frozenset()
    (home / ".ssh" / "config.d" / "new.conf").write_text("Host web1\n  User one\n")
    assert found.lookup("web1")["user"] == "one"
    (home / ".ssh" / "config.d" / "new.conf").write_text("Host web1\n  User other\n")
    assert found.lookup("web1")["user"] == "other"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Include config.d/x\n", "config.d/x:1: Includes go deeper than 16 files; is it a circle?"),
        ("Host a\n  Include config.d/y\n", "config.d/y:1: host in a file that is included under"),
        ("Match tagged x\n", "config:1: Match tagged is not known here"),
        ("\nMatch user 'x\n", "config:2: No closing quotation"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence_with_its_line(
    home: Path, text: str, fault: str
) -> None:
    found = config(home, text, x="Include config.d/x\n", y="Host b\n")
    with pytest.raises(OpsError) as caught:
        found.lookup("a")
    assert caught.value.message.startswith(f"{home}/.ssh/{fault}")


@pytest.mark.parametrize(
    ("match", "is_met"),
    [
        ("all", True),
        ("host web*", False),  # the HostName counts
        ("host 10.*", True),
        ("originalhost web1", True),
        ("user ops", True),
        ("!user ops", False),
        ("final", True),
        ("exec 'test %h = 10.0.0.1'", True),
        ("host 10.* exec false", False),
    ],
)
def test_match_holds_as_openssh_says(home: Path, match: str, is_met: bool) -> None:
    found = config(home, f"Host *\n  HostName 10.0.0.1\n  User ops\nMatch {match}\n  Port 7\n")
    assert (found.lookup("web1")["port"] == 7) == is_met


def test_a_broken_change_keeps_what_was_and_is_said_once(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = config(home, "Host web1\n  User one\n")
    assert found.lookup("web1")["user"] == "one"
    config(home, "Host web1\n  User two\nMatch nonsense x\n")
    for _ in range(2):
        assert found.lookup("web1")["user"] == "one"
    assert "config:3: Match nonsense" in found.fault and len(caplog.records) == 1
    config(home, "Host web1\n  User three\n")
    assert found.lookup("web1")["user"] == "three" and found.fault == ""


def test_without_a_file_every_host_is_itself(home: Path) -> None:
    assert SshConfig(home / "none").lookup("web1") == {"hostname": "web1", "port": 22}


def test_no_paramiko_is_imported_before_there_is_a_file_to_read(home: Path) -> None:
    code = "import sys, ircops.ssh.inventory; sys.exit('paramiko' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
