"""How a value is written: what each reader makes of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from ircops.config import Address, Bot, HostLine, Join, Percent, Schedule, Seconds, Secret, Words
from ircops.policy import Role
from ircops.shapes import Wrong
from ircops.values import expand, keys, reader

PIN = "SHA256:" + "x" * 43


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (bool, "Yes", True),
        (bool, "off", False),
        (int, "64", 64),
        (float, "2.5", 2.5),
        (Seconds, "90", 90),
        (Seconds, "0.25s", 0.25),
        (Seconds, "5m", 300),
        (Seconds, "2 h", 7200),
        (Seconds, "1d", 86400),
        (Percent, "90%", 90),
        (Percent, "12.5", 12.5),
        (Path, "~/x", Path("~/x")),
        (Words, "a, b\nc  d,e", ("a", "b", "c", "d", "e")),
        (Words, "", ()),
        (Address, "irc.example.org:6697", Address("irc.example.org", 6697)),
        (Address, "[::1]:6667", Address("::1", 6667)),
        (Join, "#ops", Join("#ops")),
        (Join, "#ops:a:b", Join("#ops", Secret("a:b"))),
        (Role, "operator", Role.OPERATOR),
        (int | None, "2", 2),
        (Literal["strict", "accept-new"], "accept-new", "accept-new"),
        (HostLine, "", HostLine()),
        (HostLine, "10.0.0.1", HostLine("10.0.0.1")),
        (HostLine, "env=prod rack=", HostLine(variables=(("env", "prod"), ("rack", "")))),
        (HostLine, "[::1]:22 user=ops", HostLine("::1", 22, "ops")),
        (
            HostLine,
            f"jump=bastion key=~/k host_key={PIN}",
            HostLine(key=Path("~/k"), jump="bastion", host_key=PIN),
        ),
    ],
)
def test_value_is_read(hint: Any, text: str, value: Any) -> None:
    assert reader(hint)(text) == value


@pytest.mark.parametrize(
    ("hint", "text", "allowed"),
    [
        (bool, "maybe", "it is yes or no"),
        (bool, "1", "it is yes or no"),
        (int, "-1", "it is a whole number, 0 or more"),
        (int, "1.5", "it is a whole number, 0 or more"),
        (int, "٣", "it is a whole number, 0 or more"),
        (float, "nan", "it is a number, 0 or more"),
        (float, "-2", "it is a number, 0 or more"),
        (Seconds, "-5s", "it is a time such as 90, 90s, 5m, 2h or 1d"),
        (Seconds, "5w", "it is a time such as 90, 90s, 5m, 2h or 1d"),
        (Percent, "101", "it is 0 to 100, with a % or without"),
        (Path, "~nobody-of-this-name/x", "there is no such home directory"),
        (Address, "irc.example.org", "it needs its port: host:port"),
        (Address, "irc.example.org:0", "a port is 1 to 65535"),
        (Address, "irc.example.org:65536", "a port is 1 to 65535"),
        (Address, "::1:6667", "it is host:port, or [::1]:port"),
        (Address, "http://example.org:80", "it is host:port, or [::1]:port"),
        (Role, "root", "it is viewer or operator or admin"),
        (Role, "nobody", "it is viewer or operator or admin"),
        (str, "two\nlines", "it is one line, but the next is indented and continues it"),
        (Literal["strict", "accept-new"], "no", "it is strict or accept-new"),
    ],
)
def test_wrong_value_is_told_what_is_allowed(hint: Any, text: str, allowed: str) -> None:
    with pytest.raises(ValueError) as wrong:
        reader(hint)(text)
    assert str(wrong.value) == allowed


@pytest.mark.parametrize(
    ("hint", "text", "shown"),
    [
        (Words | None, "a b", None),
        (tuple[Address, ...], "a:1 b", "b"),
        (tuple[Join, ...], "#a:KEY b:KEY", "b"),
        (Secret, "hunter2\nmore", "***"),
        (HostLine, "10.0.0.1 # rack 4", "#"),
        (HostLine, "10.0.0.1 10.0.0.2", "10.0.0.2"),
        (HostLine, "10.0.0.1 usr=ops", "usr=ops"),
        (HostLine, "host_key=abc", "host_key=abc"),
    ],
)
def test_only_the_wrong_piece_is_shown_and_no_secret(
    hint: Any, text: str, shown: str | None
) -> None:
    try:
        reader(hint)(text)
    except Wrong as wrong:
        assert wrong.shown == shown
    else:
        assert shown is None


def test_type_without_a_reader_is_our_bug() -> None:
    with pytest.raises(TypeError, match="no reader for"):
        reader(complex)


def test_key_may_be_named_otherwise_than_its_field() -> None:
    assert keys(Schedule)["in"].field == "into"
    assert keys(Schedule)["in"].read("#ops #dev") == ("#ops", "#dev")


def test_no_text_is_the_default_where_that_is_empty() -> None:
    assert keys(Schedule)["in"].read("") == ()
    with pytest.raises(ValueError):
        keys(Schedule)["timezone"].read("")


@pytest.mark.parametrize(
    ("text", "is_secret"),
    [
        ("", False),
        ("x.sqlite", False),
        ("postgresql+psycopg://ops@db/ircops", False),
        ("postgresql+psycopg://ops:hunter2@db/ircops", True),
        ("postgresql+psycopg://ops:p/w@db/ircops", True),
    ],
)
def test_a_database_is_a_secret_if_its_url_has_a_password(text: str, is_secret: bool) -> None:
    value = keys(Bot)["database"].read(text)
    assert (value, isinstance(value, Secret)) == (text, is_secret)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("database", "mysql://ops:hunter2@db/ircops"),
        ("copy", "http://log.example/?key=hunter2"),
        ("copy", "log.example/hunter2"),
    ],
)
def test_a_url_that_will_not_do_is_refused_without_its_secret(name: str, text: str) -> None:
    with pytest.raises(Wrong) as wrong:
        keys(Bot)[name].read(text)
    assert "hunter2" not in f"{wrong.value} {wrong.value.shown}"


@pytest.mark.parametrize(
    "url", ["", "https://log.example/x?key=1", "http://127.0.0.1:8080/", "http://localhost/x"]
)
def test_the_record_is_copied_over_tls_or_not_out_of_the_machine(url: str) -> None:
    assert keys(Bot)["copy"].read(url) == url


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web1", "web1"),
        ("web[1-3]", "web1 web2 web3"),
        ("web[08-10,15].lan", "web08.lan web09.lan web10.lan web15.lan"),
    ],
)
def test_name_of_a_host_line_expands(text: str, names: str) -> None:
    assert expand(text) == names.split()


@pytest.mark.parametrize("text", ["", "web 1", "web[", "web[a-b]", "web[3-1]", "web[1-]", "@web"])
def test_what_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write web"):
        expand(text)
