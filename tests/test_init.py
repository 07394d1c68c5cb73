"""Answers to an ircops.ini: what Enter alone gives, what is asked again, what is never overwritten."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ircops import ini
from ircops.config import Address, Bot, Join, Secret
from ircops.errors import OpsError
from ircops.init import Answers, ask, init, write

ANSWERS = Answers(
    nick="bot2",
    server=Address("irc.oftc.net", 6697),
    tls=True,
    channel="#ops:KEY",
    account="bot2",
    password="hunter2",
    admin="alice bob",
    viewer="*",
    hosts="web[1-2,4] db1",
    user="ops",
)


def asked(*typed: str) -> tuple[Answers, str]:
    """The answers, and what the terminal showed, for these lines typed; the rest is Enter."""
    answers: list[Answers] = []
    command = click.Command("init", callback=lambda: answers.append(ask()))
    result = CliRunner().invoke(command, input="\n".join(typed) + "\n" * 20)
    assert result.exit_code == 0, result.output
    return answers[0], result.output


def test_answers_are_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    init(path, ANSWERS)
    settings = ini.load(path, {})
    assert settings.bot.nick == "bot2"
    network = settings.networks["oftc"]
    assert (network.server, network.tls) == ((Address("irc.oftc.net", 6697),), True)
    assert network.channels == (Join("#ops", Secret("KEY")),)
    assert network.sasl_username == "bot2"
    assert str.__str__(network.sasl_password) == "hunter2"
    assert (settings.roles.admin, settings.roles.viewer) == (("alice", "bob"), ("*",))
    assert list(settings.hosts) == ["web1", "web2", "web4", "db1"]
    assert settings.ssh.user == "ops"
    assert list(settings.channels) == ["#ops"]
    assert settings.schedules["morning"].into == ("#ops",)
    assert settings.schedules["witness"].into == ("#ops",)


def test_what_is_not_answered_stays_documented() -> None:
    text = write(ANSWERS)
    assert "#ping_interval = 15s" in text
    assert text.count("\n# ") > 60
    assert "hunter2" not in repr(ANSWERS)


def test_what_is_only_an_example_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(write(Answers("ops", Address("irc.example.org", 6697), True, "#ops")))
    settings = ini.load(path)
    assert (settings.providers, settings.checks) == ({}, {})
    assert list(settings.watches) == ["fleet"]
    assert "#[provider lab]" in path.read_text()


def test_enter_alone_gives_settings_without_a_fault(tmp_path: Path) -> None:
    answers, _ = asked()
    init(tmp_path / "ircops.ini", answers)
    settings = ini.load(tmp_path / "ircops.ini", {})
    assert settings.bot.nick == Bot().nick
    assert settings.networks["libera"].tls
    assert settings.roles.admin == ()
    assert list(settings.hosts) == ["localhost"]


def test_answer_that_cannot_be_is_asked_again() -> None:
    answers, shown = asked("1bot", "bot2", "irc.oftc.net", "irc.oftc.net:6697", "", "ops", "#ops")
    assert answers.nick == "bot2"
    assert answers.server == Address("irc.oftc.net", 6697)
    assert answers.channel == "#ops"
    assert "Error: it needs its port: host:port" in shown
    assert "Error: a channel is #name, or #name:KEY" in shown


def test_password_is_asked_for_unseen() -> None:
    answers, shown = asked("", "", "", "", "bot2", "hunter2")
    assert (answers.account, answers.password) == ("bot2", "hunter2")
    assert "hunter2" not in shown


def test_password_is_not_asked_for_where_it_could_be_read(tmp_path: Path) -> None:
    answers, shown = asked("", "irc.example.org:6667")
    assert not answers.tls
    assert "Services account" not in shown and "does not log in" in shown
    init(tmp_path / "ircops.ini", answers)
    assert not ini.load(tmp_path / "ircops.ini", {}).networks["example"].tls


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("irc.libera.chat", "libera"),
        ("localhost", "localhost"),
        ("127.0.0.1", "main"),
        ("::1", "main"),
    ],
)
def test_network_is_named_after_its_server(tmp_path: Path, host: str, network: str) -> None:
    answers = dataclasses.replace(ANSWERS, server=Address(host, 6697))
    init(tmp_path / "ircops.ini", answers)
    assert list(ini.load(tmp_path / "ircops.ini", {}).networks) == [network]


def test_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    init(path, ANSWERS)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    with pytest.raises(OpsError, match="is there already; move it away, or name another"):
        init(path, dataclasses.replace(ANSWERS, nick="bot3"))
    assert path.read_text() == before
    with pytest.raises(OpsError, match="no such file or directory; name another"):
        init(tmp_path / "nowhere" / "ircops.ini", ANSWERS)
