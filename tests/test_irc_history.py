"""After a gap: how long we were deaf, what was said meanwhile, and what was not run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ircops.config import Join
from ircops.irc import history
from ircops.irc.channels import Joins
from ircops.irc.history import Gaps, span
from ircops.irc.protocol import parse
from ircops.irc.roster import Roster
from tests.scripted_ircd import ScriptedIrcd, eventually, running

START = datetime(2026, 11, 22, 21, 3, tzinfo=UTC)
LATER = "back after 4 min (21:03-21:07 UTC): ping timeout"


class Place:
    """A bot in #ops that was deaf for four minutes; `said` is what it said there, `sent` what it asked."""

    def __init__(self, caps=(), isupport="CHANTYPES=#"):
        self.said, self.sent, self.now = [], [], 0.0
        self.clock = START
        self.caps, self.isupport = set(caps), isupport
        self.roster = Roster()
        self.joins = Joins(self.roster, [Join("#ops"), Join("#dev")])
        self.gaps = Gaps(
            self.roster,
            self.joins,
            lambda text: text.startswith("!"),
            lambda channel, text: self.said.append((channel, text)),
            lambda: self.clock,
        )
        self.connect()

    def connect(self):
        self.roster.reset("opsbot", self.caps)
        self.hear(f":s 005 opsbot {self.isupport} :are supported", ":opsbot!i@b JOIN #ops")

    def hear(self, *lines):
        for line in map(parse, lines):
            self.roster.feed(line)
            self.sent += [said.decode() for said in self.gaps.feed(line, self.now)]

    def away(self, minutes=4.0, why="ping timeout"):
        self.gaps.end(why)
        self.clock += timedelta(minutes=minutes)
        self.now += minutes * 60
        self.connect()


class TestGap:
    def test_a_gap_is_said_once_with_its_length_and_its_reason(self):
        place = Place()
        assert place.said == []
        place.away()
        assert place.said == [("#ops", f"{LATER}; heard nothing meanwhile")]
        place.hear(":opsbot!i@b JOIN #ops", ":alice!a@b PRIVMSG #ops :hello")
        assert len(place.said) == 1 and place.sent == []

    def test_half_a_minute_is_not_worth_a_word(self):
        place = Place()
        place.away(minutes=0.5)
        assert place.said == []

    def test_it_begins_with_the_last_word_of_the_server_not_with_the_notice_that_it_is_dead(self):
        place = Place()
        place.clock += timedelta(minutes=1)
        place.away(minutes=3)
        assert place.said == [("#ops", f"{LATER}; heard nothing meanwhile")]

    def test_a_connection_lost_again_before_the_channel_is_reached_is_the_same_gap(self):
        place = Place()
        place.gaps.end("ping timeout")
        place.roster.reset("opsbot", set())
        place.clock += timedelta(minutes=2)
        place.hear(":s 001 opsbot :Welcome")
        place.away(minutes=2, why="connection refused")
        assert place.said == [("#ops", f"{LATER}; heard nothing meanwhile")]

    def test_out_of_one_channel_is_deaf_there_only(self):
        place = Place()
        place.hear(":opsbot!i@b JOIN #dev", ":alice!a@b KICK #dev opsbot :out")
        place.clock += timedelta(hours=3)
        place.hear(":opsbot!i@b JOIN #dev")
        days = "2026-11-22 21:03-2026-11-23 00:03 UTC"
        told = f"back after 3 h ({days}): kicked by alice; heard nothing meanwhile"
        assert place.said == [("#dev", told)]


@pytest.mark.parametrize("cap", history.HISTORY)
class TestHistory:
    def test_it_is_asked_for_from_the_last_word_on_and_told(self, cap):
        place = Place([cap, "server-time"])
        place.hear("@time=2026-11-22T21:02:59.123Z :alice!a@b PRIVMSG #ops :hello")
        place.away()
        assert place.sent == ["CHATHISTORY AFTER #ops timestamp=2026-11-22T21:02:59.123Z 100"]
        assert place.said == []
        place.hear(
            ":s BATCH +7 chathistory #OPS",
            "@batch=7;time=2026-11-22T21:05:00.000Z :alice!a@b PRIVMSG #ops :!deploy shop",
            "@batch=7;time=2026-11-22T21:05:10.000Z :bob!a@b PRIVMSG #ops :oh",
            "@batch=7;time=2026-11-22T21:05:11.000Z :bob!a@b NOTICE #ops :!notice",
            "@batch=7;time=2026-11-22T21:05:12.000Z;bot :c!a@b PRIVMSG #ops :!bot",
            "@batch=7;time=2026-11-22T21:05:13.000Z :opsbot!a@b PRIVMSG #ops :!me",
            "@batch=7;time=2026-11-22T21:05:14.000Z :c!a@b JOIN #ops",
            "@batch=7;time=2026-11-22T21:08:00.000Z :c!a@b PRIVMSG #ops :!heard myself",
            ":s BATCH -7",
        )
        assert [text for _, text in place.said] == [
            "back after 4 min (21:02-21:07 UTC): ping timeout; 4 lines said meanwhile",
            "not run: alice !deploy shop (21:05)",
        ]
        place.now = 1e9
        assert place.gaps.tick(place.now) == [] and len(place.said) == 2

    def test_of_many_commands_five_are_named(self, cap):
        place = Place([cap])
        place.away(minutes=0.1)
        lines = [
            f"@batch=a;time=2026-11-22T21:03:0{n}Z :alice!a@b PRIVMSG #ops :!x{n}" for n in range(6)
        ]
        place.hear(":s BATCH +a chathistory #ops", *lines, ":s BATCH -a")
        named = " · ".join(f"alice !x{n} (21:03)" for n in range(5))
        assert place.said == [("#ops", f"not run: {named} · and 1 more")]

    def test_page_after_page_is_asked_for(self, cap):
        place = Place([cap], isupport="CHANTYPES=# CHATHISTORY=2")
        place.away()
        for minute in (4, 5):
            place.hear(":s BATCH +a chathistory #ops")
            place.hear(f"@batch=a;time=2026-11-22T21:0{minute}:00Z :a!a@b PRIVMSG #ops :x")
            place.hear(f"@batch=a;time=2026-11-22T21:0{minute}:30Z :a!a@b PRIVMSG #ops :x")
            place.hear(":s BATCH -a")
        place.hear(":s BATCH +a chathistory #ops", ":s BATCH -a")
        assert place.sent == [
            f"CHATHISTORY AFTER #ops timestamp=2026-11-22T{time}.000Z 2"
            for time in ("21:03:00", "21:04:30", "21:05:30")
        ]
        assert place.said == [("#ops", f"{LATER}; 4 lines said meanwhile")]

    def test_a_server_that_refuses_or_says_nothing_leaves_us_with_the_gap(self, cap):
        place = Place([cap])
        place.away()
        place.hear(":s FAIL CHATHISTORY INVALID_TARGET AFTER #ops :no")
        assert place.said == [("#ops", f"{LATER}; heard nothing meanwhile")]
        place.clock = START
        place.hear(":s 005 opsbot X :x")
        place.away()
        assert place.gaps.due == place.now + 10
        place.gaps.tick(place.now + 10)
        assert len(place.said) == 2 and place.gaps.due == float("inf")

    def test_a_history_that_is_cut_off_is_asked_for_again(self, cap):
        place = Place([cap])
        place.away()
        line = "@batch=a;time=2026-11-22T21:05:00Z :alice!a@b PRIVMSG #ops :!x"
        place.hear(":s BATCH +a chathistory #ops", line)
        place.away()
        assert place.said == [] and len(set(place.sent)) == 1 and len(place.sent) == 2
        place.hear(":s BATCH +a chathistory #ops", line, ":s BATCH -a")
        assert place.said == [
            ("#ops", "back after 8 min (21:03-21:11 UTC): ping timeout; 1 line said meanwhile"),
            ("#ops", "not run: alice !x (21:05)"),
        ]

    def test_history_nobody_asked_for_is_no_news(self, cap):
        place = Place([cap])
        line = "@batch=a;time=2026-11-22T21:05:00Z :alice!a@b PRIVMSG #ops :!x"
        place.hear(":s BATCH +a chathistory #ops", line, ":s BATCH -a", ":s BATCH -unknown")
        place.hear(":s BATCH +b chathistory #else", "BATCH", ":s FAIL CHATHISTORY X")
        assert place.said == place.sent == []


def test_a_span_is_said_in_the_unit_that_fits_with_days_where_there_are_two():
    assert span(START, START + timedelta(seconds=45)) == "45 s (21:03-21:03 UTC)"
    assert span(START, START + timedelta(minutes=119)) == "119 min (21:03-23:02 UTC)"
    day = "2026-11-22 21:03-2026-11-24 21:03 UTC"
    assert span(START, START + timedelta(days=2)) == f"2 d ({day})"


def test_over_a_real_connection_history_is_kept_and_told_and_nothing_of_it_runs(monkeypatch):
    monkeypatch.setattr(history, "LEAST", 0.0)
    kept, calls = [], []

    async def handle(call):
        calls.append(call.line)

    async def scene():
        async with ScriptedIrcd() as ircd:
            network = ircd.network(handle, write=kept.append)
            async with running(network):
                caps = "message-tags server-time batch draft/chathistory"
                bot = await ircd.accept()
                await bot.welcome(caps=caps)
                bot.reset()
                bot = await ircd.accept()
                await bot.welcome(caps=caps)
                asked, _ = await bot.until("CHATHISTORY AFTER #ops timestamp=")
                time = asked.split("=")[1].split()[0]
                bot.send(
                    ":irc.test BATCH +1 chathistory #ops",
                    f"@batch=1;time={time};msgid=m1 :alice!al@home PRIVMSG #ops :!deploy shop",
                    ":irc.test BATCH -1",
                )
                await bot.until("NOTICE #ops :back after 0 s (")
                await bot.expect("NOTICE #ops :not run: a...lice !deploy shop (...)")
                await eventually(lambda: any(said.message_id == "m1" for said in kept))
        assert calls == []

    asyncio.run(scene())
    ours = [said.text for said in kept if said.is_ours]
    assert len(ours) == 2 and ours[0].startswith("back after") and ours[1].startswith("not run: ")
