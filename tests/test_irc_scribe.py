"""What the transcript gets of each line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ircops.config import Join
from ircops.irc.channels import Joins
from ircops.irc.protocol import parse
from ircops.irc.roster import Roster
from ircops.irc.scribe import Scribe

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Desk:
    """A scribe in #ops and #dev, with alice in #ops; `kept` is what it wrote."""

    def __init__(self, caps=("extended-join", "account-notify")):
        self.kept = []
        self.roster = Roster()
        self.roster.reset("opsbot", set(caps))
        joins = Joins(self.roster, [Join("#ops"), Join("#Dev")])
        self.scribe = Scribe("libera", self.roster, joins, self.kept.append, lambda: NOON)
        self.hear(":opsbot!i@b JOIN #ops * :x", ":opsbot!i@b JOIN #dev * :x")
        self.hear(":alice!al@home JOIN #ops al :Alice")
        self.kept.clear()

    def hear(self, *lines):
        for line in map(parse, lines):
            self.scribe.feed(line)
            self.roster.feed(line)

    def lines(self):
        return [(said.channel, said.nick, said.kind, said.text) for said in self.kept]


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("PRIVMSG #OPS :hello \x02there\x02 \x0304,01red\x03", "message", "hello there red"),
        ("NOTICE #ops :psst", "notice", "psst"),
        ("PRIVMSG #ops :\x01ACTION waves\x01", "action", "waves"),
        ("JOIN #ops al :Alice", "join", ""),
        ("PART #ops :bye", "part", "bye"),
        ("QUIT :Ping timeout", "quit", "Ping timeout"),
        ("NICK alicia", "nick", "alicia"),
        ("KICK #ops bob :out", "kick", "bob (out)"),
        ("KICK #ops bob", "kick", "bob"),
        ("TOPIC #ops :all is well", "topic", "all is well"),
        ("MODE #ops +o-v bob carol", "mode", "+o-v bob carol"),
    ],
)
def test_everything_that_happens_in_a_channel_is_written_down(line, kind, text):
    desk = Desk()
    desk.hear(f":alice!al@home {line}")
    assert desk.lines() == [("#ops", "alice", kind, text)]
    assert (desk.kept[0].network, desk.kept[0].at, desk.kept[0].is_ours) == ("libera", NOON, False)


def test_who_quits_or_is_renamed_does_so_in_each_channel_they_are_in_and_nowhere_else():
    desk = Desk()
    desk.hear(":alice!al@home JOIN #dev al :Alice", ":bob!b@c QUIT :unknown here")
    desk.kept.clear()
    desk.hear(":alice!al@home NICK alicia", ":alicia!al@home QUIT :x")
    assert sorted(desk.lines()) == [
        ("#Dev", "alice", "nick", "alicia"),
        ("#Dev", "alicia", "quit", "x"),
        ("#ops", "alice", "nick", "alicia"),
        ("#ops", "alicia", "quit", "x"),
    ]


def test_the_servers_time_and_id_and_the_account_of_the_line_are_kept():
    desk = Desk(caps=("account-tag",))
    tags = "@time=2026-11-22T09:00:01.500Z;msgid=abc;account=alice"
    desk.hear(f"{tags} :ali!al@home PRIVMSG #ops :hello", ":ali!al@home PRIVMSG #ops :and now")
    first, second = desk.kept
    assert first.at == datetime(2026, 11, 22, 9, 0, 1, 500_000, tzinfo=UTC)
    assert (first.message_id, first.account) == ("abc", "alice")
    assert (second.message_id, second.account, second.at) == ("", "", NOON)


def test_without_the_tag_the_account_is_the_one_that_is_known():
    desk = Desk()
    desk.hear(":alice!al@home PRIVMSG #ops :hello")
    assert desk.kept[0].account == "al"


def test_what_is_said_elsewhere_or_in_private_is_not_written_down():
    desk = Desk()
    desk.hear(":alice!al@home PRIVMSG #else :x", ":alice!al@home PRIVMSG opsbot :secret")
    desk.hear(":alice!al@home JOIN #else", ":opsbot MODE opsbot +B", "PRIVMSG", "KICK", "QUIT")
    desk.scribe.said(b"PRIVMSG alice :secret\r\n")
    assert desk.kept == []


def test_what_we_say_is_written_down_once_when_it_leaves():
    desk = Desk()
    desk.scribe.said(b"@+draft/reply=m1 PRIVMSG #ops :al\xe2\x81\xa0ice: web1: up\r\n")
    desk.scribe.said(b"NOTICE #dev :report\r\n")
    desk.scribe.said(b"JOIN #ops\r\n")
    desk.scribe.said(b"TOPIC #ops :about PRIVMSG and so on\r\n")
    desk.hear(":opsbot!i@b PRIVMSG #ops :alice: web1: up")  # echo-message
    assert desk.lines() == [
        ("#ops", "opsbot", "message", "alice: web1: up"),
        ("#Dev", "opsbot", "notice", "report"),
    ]
    assert all(said.is_ours and not said.account for said in desk.kept)
