"""What the bot says: whom to, how much at once, and where it is while nobody can be reached."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from ircops.call import Kind
from ircops.config import Bot, Channel, Settings
from ircops.irc import outlet, pacing, voice
from ircops.irc.outlet import BULK_AFTER, Outlet
from ircops.irc.pacing import LULL, Pacer
from ircops.irc.protocol import parse
from ircops.irc.render import JOINER
from ircops.irc.roster import Roster
from ircops.irc.voice import AGED, FRESH, TOLD, Voice


class Stage:
    """A voice in #ops with alice in it, a clock turned by hand, and all that went to the wire."""

    def __init__(self, **channel):
        self.now = 0.0
        self.sent = []
        self.settings = Settings(bot=Bot(prefix="!"), channels={"#ops": Channel(**channel)})
        self.roster = Roster()
        self.due = []  # what the voice wants to be called later
        self.pacer = Pacer(
            lambda data: self.sent.extend(data.splitlines(keepends=True)),
            lambda: self.now,
            lambda seconds, callback: None,
        )
        self.voice = Voice(
            self.settings,
            self.roster,
            self.pacer,
            lambda: self.now,
            lambda seconds, callback: self.due.append((self.now + seconds, callback)),
            lambda: datetime(2026, 11, 22, 21, tzinfo=UTC) + timedelta(seconds=self.now),
        )
        self.connect()

    def connect(self, *lines):
        self.roster.reset("opsbot", {"account-notify", "extended-join"})
        self.hear(
            ":opsbot!ircops@bot.host JOIN #ops", *(lines or (":alice!al@home JOIN #ops alice :A",))
        )
        self.voice.deliver()

    def confirm(self):
        """The server answers all PINGs."""
        while pings := [data for data in self.sent if data.startswith(b"PING")]:
            for ping in pings:
                self.sent.remove(ping)
                self.pacer.pong(ping.decode()[6:].strip())

    def arrive(self):
        """All that was said has arrived, and we know it."""
        self.now += LULL
        self.pacer._pump()
        self.confirm()

    def lose(self):
        self.voice.keep(self.pacer.reset())
        self.roster.reset("opsbot", set())

    def hear(self, *lines):
        for line in lines:
            self.roster.feed(parse(line))

    def outlet(self, where="#ops", said="x"):
        return Outlet(
            self.voice, where, self.roster.speaker(parse(f":alice!al@home PRIVMSG x :{said}"))
        )

    def said(self):
        """What went out since the last question, without the pacer's PINGs."""
        lines = [data.decode().removesuffix("\r\n") for data in self.sent]
        self.sent.clear()
        return [line for line in lines if not line.startswith("PING")]


def answer(found, *texts):
    for text in texts:
        found.write(Kind.ANSWER, text)
    found.finish()


def numbers(first, last):
    return [f"line {number}" for number in range(first, last + 1)]


def test_the_first_line_of_an_answer_names_the_caller():
    stage = Stage()
    answer(stage.outlet(), "one", "two")
    assert stage.said() == ["PRIVMSG #ops :alice: one", "PRIVMSG #ops two"]


def test_every_refusal_and_question_names_the_caller():
    stage = Stage()
    found = stage.outlet()
    for kind in (Kind.ERROR, Kind.QUESTION, Kind.ERROR):
        found.write(kind, "hm")
    assert stage.said() == ["PRIVMSG #ops :alice: hm"] * 3


def test_in_private_nobody_is_named():
    stage = Stage()
    answer(stage.outlet(where=""), "one")
    assert stage.said() == ["PRIVMSG alice one"]


def test_a_channel_may_want_notices():
    stage = Stage(reply="notice")
    answer(stage.outlet(), "one")
    answer(stage.outlet(where=""), "one")
    assert stage.said() == ["NOTICE #ops :alice: one", "PRIVMSG alice one"]


def test_what_nobody_asked_for_is_a_notice():
    stage = Stage()
    answer(Outlet(stage.voice, "#ops", None), "one")
    Outlet(stage.voice, "#ops", None).write(Kind.ERROR, "two words")
    stage.outlet().write(Kind.REPORT, "three")
    assert stage.said() == [
        "NOTICE #ops one",
        "NOTICE #ops :two words",
        "NOTICE #ops :alice: three",
    ]


def test_the_caller_is_found_under_a_new_nick():
    stage = Stage()
    found, private = stage.outlet(), stage.outlet(where="")
    stage.hear(":alice!al@home NICK al2", ":eve!e@h JOIN #ops * :E", ":eve!e@h NICK alice")
    answer(found, "one")
    answer(private, "one")
    assert stage.said() == ["PRIVMSG #ops :al2: one", "PRIVMSG al2 one"]


class TestHighlight:
    def stage(self, **channel):
        stage = Stage(**channel)
        stage.hear(":bob!b@home JOIN #ops B :B", ":carol!c@home JOIN #else C :C")
        return stage

    def test_of_an_answer_only_the_caller_is_highlighted(self):
        stage = self.stage()
        answer(stage.outlet(), "alice Bob carol")
        assert stage.said() == [f"PRIVMSG #ops :alice: alice B{JOINER}ob carol"]

    def test_of_a_report_nobody_is(self):
        stage = self.stage()
        answer(Outlet(stage.voice, "#ops", None), "alice bob")
        assert stage.said() == [f"NOTICE #ops :a{JOINER}lice b{JOINER}ob"]

    def test_whoever_is_needed_is(self):
        stage = self.stage()
        Outlet(stage.voice, "#ops", None).write(Kind.QUESTION, "bob, are you there?")
        assert stage.said() == ["NOTICE #ops :bob, are you there?"]

    def test_a_channel_may_want_everybody_to_be(self):
        stage = self.stage(highlight="all")
        answer(Outlet(stage.voice, "#ops", None), "alice bob")
        assert stage.said() == ["NOTICE #ops :alice bob"]

    def test_in_private_there_is_nobody_else(self):
        stage = self.stage()
        answer(stage.outlet(where=""), "alice bob")
        assert stage.said() == ["PRIVMSG alice :alice bob"]


class TestMore:
    def test_the_first_lines_go_out_as_they_come_and_the_rest_is_held(self):
        stage = Stage(lines=3)
        found = stage.outlet()
        for text in numbers(1, 4):
            found.write(Kind.ANSWER, text)
        assert stage.said() == [
            "PRIVMSG #ops :alice: line 1",
            "PRIVMSG #ops :line 2",
            "PRIVMSG #ops :line 3",
        ]
        found.write(Kind.ANSWER, "line 5")
        found.finish()
        assert stage.said() == ["PRIVMSG #ops :… 2 more lines: !more"]
        assert stage.outlet().more() == ["line 4", "line 5"]
        assert stage.outlet().more() == []

    def test_where_there_is_a_page_the_rest_is_also_there(self):
        asked = []
        stage = Stage(lines=3)
        for count in (3, 10):
            found = stage.outlet()
            found.page = lambda found=found: asked.append(found) or "https://x/job/7?until=1&key=a"
            answer(found, *numbers(1, count))
        more = "PRIVMSG #ops :… 7 more lines: !more · https://x/job/7?until=1&key=a"
        assert stage.said()[-1] == more
        assert asked == [found]  # a short answer costs no link

    def test_more_of_a_long_answer_holds_the_rest_again(self):
        stage = Stage(lines=3)
        answer(stage.outlet(), *numbers(1, 10))
        again = stage.outlet()
        answer(again, *again.more())
        assert stage.said()[-1] == "PRIVMSG #ops :… 4 more lines: !more"

    def test_a_single_line_more_is_said_itself(self):
        stage = Stage(lines=3)
        answer(stage.outlet(), *numbers(1, 4))
        assert stage.said()[-1] == "PRIVMSG #ops :line 4"

    def test_a_single_line_that_is_long_is_held(self):
        stage = Stage(lines=1)
        answer(stage.outlet(), "one", "word " * 300)
        assert stage.said()[-1] == "PRIVMSG #ops :… 1 more line: !more"

    def test_a_long_line_counts_as_the_messages_it_takes(self):
        stage = Stage(lines=2)
        answer(stage.outlet(), "\x1b[31m" + "word " * 300, "end")
        sent = stage.said()
        assert len(sent) == 3 and sent[-1].endswith("more lines: !more")
        held = stage.outlet().more()
        assert held[-1] == "end" and not any(set(text) & set("\x03\x0f\x1b") for text in held)
        assert " ".join([*sent[:2], *held]).count("word") == 300

    def test_refusals_and_questions_are_never_held(self):
        stage = Stage(lines=1)
        found = stage.outlet()
        for text in numbers(1, 3):
            found.write(Kind.ANSWER, text)
        found.write(Kind.ERROR, "no")
        found.write(Kind.QUESTION, "sure?")
        assert stage.said()[1:] == ["PRIVMSG #ops :alice: no", "PRIVMSG #ops :alice: sure?"]

    def test_only_the_newest_answer_of_a_caller_is_held_in_each_place(self):
        stage = Stage(lines=1)
        answer(stage.outlet(), *numbers(1, 5))
        answer(stage.outlet(), *numbers(11, 15))
        answer(stage.outlet(where=""), *[f"line {number}" for number in range(30)])
        assert stage.outlet().more() == numbers(12, 15)
        assert stage.outlet(where="").more()[0] == "line 6"

    def test_nobody_else_gets_what_is_held_not_even_under_the_nick(self):
        stage = Stage(lines=1)
        answer(stage.outlet(), *numbers(1, 5))
        stage.hear(":alice!al@home NICK al2", ":alice!eve@evil JOIN #ops * :E")
        eve = stage.roster.speaker(parse(":alice!eve@evil PRIVMSG #ops :!more"))
        assert Outlet(stage.voice, "#ops", eve).more() == []
        alice = stage.roster.speaker(parse(":al2!al@home PRIVMSG #ops :!more"))
        assert Outlet(stage.voice, "#ops", alice).more() == numbers(2, 5)

    def test_the_rest_of_a_report_is_anybodys(self):
        stage = Stage(lines=1)
        answer(Outlet(stage.voice, "#ops", None), *numbers(1, 5))
        assert stage.said()[-1] == "NOTICE #ops :… 4 more lines: !more"
        assert stage.outlet().more() == numbers(2, 5)

    def test_what_is_held_is_bounded_and_it_is_said(self, monkeypatch):
        monkeypatch.setattr(outlet, "HELD_SIZE", 20)
        monkeypatch.setattr(voice, "HELD_ANSWERS", 2)
        stage = Stage(lines=1)
        answer(stage.outlet(), *numbers(1, 6))
        assert stage.said()[-1] == "PRIVMSG #ops :… 2 more lines: !more, and 3 not kept"
        for channel in ("#a", "#b"):
            stage.hear(f":opsbot!ircops@bot.host JOIN {channel}")
            answer(stage.outlet(where=channel), *numbers(1, 60))
        assert stage.outlet().more() == []
        assert stage.outlet(where="#a").more()

    def test_a_line_nobody_can_read_is_cut(self):
        stage = Stage(lines=100)
        answer(stage.outlet(), "x" * 1_000_000)
        assert sum(map(len, stage.said())) < 9000


class TestRoom:
    @pytest.mark.parametrize("text", ["x" * 2000, "é" * 1000, "€ " * 700, "👩‍👩‍👧" * 90])
    def test_every_line_with_our_prefix_fits_512_bytes(self, text):
        stage = Stage(lines=100)
        answer(stage.outlet(), text)
        answer(stage.outlet(where=""), text)
        for line in stage.said():
            assert len(f":opsbot!ircops@bot.host {line}\r\n".encode()) <= 512

    def test_the_room_is_used(self):
        stage = Stage(lines=100)
        answer(Outlet(stage.voice, "#ops", None), "x" * 2000)
        assert (
            len(f":opsbot!ircops@bot.host {stage.said()[0]}\r\n".encode()) == 511
        )  # no colon for one word

    def test_a_longer_host_and_a_longer_limit_count(self):
        stage = Stage(lines=100)
        usual = stage.voice.room("PRIVMSG", "#ops")
        stage.hear(":s 396 opsbot a.much.longer.host.example :is your host")
        assert stage.voice.room("PRIVMSG", "#ops") == usual - len(
            "a.much.longer.host.example"
        ) + len("bot.host")
        stage.hear(":s 005 opsbot LINELEN=2048 :are supported")
        assert stage.voice.room("PRIVMSG", "#ops") > 1900

    def test_colours_stay_away_where_they_are_not_wanted(self):
        for stage, mode in ((Stage(), "+c"), (Stage(), "+S"), (Stage(colour=False), "+n")):
            stage.hear(f":op!o@h MODE #ops {mode}")
            answer(stage.outlet(), "\x1b[31mred\x1b[0m")
            assert stage.said() == ["PRIVMSG #ops :alice: red"]
        stage = Stage()
        answer(stage.outlet(), "\x1b[31mred\x1b[0m")
        assert "\x03" in stage.said()[0]


def test_a_short_answer_overtakes_the_bulk_of_a_long_one_which_stays_in_order():
    stage = Stage(lines=100)
    answer(stage.outlet(), *numbers(1, 50))
    answer(stage.outlet(), "short")
    stage.confirm()
    said = stage.said()
    assert said.index("PRIVMSG #ops :alice: short") == BULK_AFTER
    said.remove("PRIVMSG #ops :alice: short")
    assert [line.rpartition(":")[2].strip() for line in said] == numbers(1, 50)


def test_newer_progress_replaces_what_still_waits():
    stage = Stage()
    answer(stage.outlet(), *["fills the window"] * 6)
    answer(stage.outlet(), *["and more"] * 6)
    stage.said()
    first, second = stage.outlet(), stage.outlet()
    for percent in range(5):
        first.write(Kind.PROGRESS, f"first {percent}")
        second.write(Kind.PROGRESS, f"second {percent}")
    waiting = [parcel.lines[0].decode() for parcel in stage.pacer.reset()]
    assert [line for line in waiting if "first" in line or "second" in line] == [
        "PRIVMSG #ops :alice: first 4",
        "PRIVMSG #ops :alice: second 4",
    ]


class TestLostConnection:
    def test_answers_and_reports_wait_for_the_channel_and_leave_in_order(self):
        stage = Stage()
        found = stage.outlet()
        stage.lose()
        found.write(Kind.ANSWER, "one")
        found.write(Kind.PROGRESS, "50 %")
        found.write(Kind.ANSWER, "two")
        answer(Outlet(stage.voice, "#ops", None), "three")
        assert stage.said() == []
        stage.connect()
        assert stage.said() == ["PRIVMSG #ops :alice: one", "PRIVMSG #ops two", "NOTICE #ops three"]

    def test_how_old_it_is_is_said_once_where_it_matters(self):
        stage = Stage()
        stage.lose()
        answer(stage.outlet(), "one", "two")
        stage.now = 250
        answer(stage.outlet(), "three")
        stage.now += AGED + 2
        stage.connect()
        assert stage.said() == [
            "PRIVMSG #ops :(4 min ago) alice: one",
            "PRIVMSG #ops two",
            "PRIVMSG #ops :(12 s ago) alice: three",
        ]
        stage.lose()
        stage.now += 20
        stage.connect()
        assert stage.said()[2] == "PRIVMSG #ops :(32 s ago) alice: three"

    def test_what_was_not_confirmed_and_what_had_not_left_is_said_again_in_order(self):
        stage = Stage(lines=50)
        answer(stage.outlet(), *numbers(1, 30))
        before = stage.said()
        assert len(before) < 30
        stage.lose()
        stage.connect()
        stage.confirm()
        assert [line.rpartition(":")[2].strip() for line in stage.said()] == numbers(1, 30)

    def test_what_was_confirmed_is_not_said_again(self):
        stage = Stage()
        answer(stage.outlet(), "one")
        stage.arrive()
        answer(stage.outlet(), "two")
        stage.said()
        stage.lose()
        stage.connect()
        assert stage.said() == ["PRIVMSG #ops :alice: two"]

    def test_an_echo_confirms(self):
        stage = Stage()
        stage.pacer.begin(has_echo=True)
        answer(stage.outlet(), "one", "two words")
        stage.said()
        stage.roster.caps |= {"echo-message"}
        stage.voice.feed(parse(":opsbot!ircops@bot.host PRIVMSG #ops :alice: one"))
        stage.voice.feed(parse(":alice!al@home PRIVMSG #ops :two words"))
        stage.lose()
        stage.connect()
        assert stage.said() == ["PRIVMSG #ops :two words"]

    def test_what_matters_more_is_said_first_after_a_reconnect_too(self):
        stage = Stage(lines=50)
        answer(Outlet(stage.voice, "#ops", None), *numbers(1, 20))
        stage.outlet().write(Kind.ERROR, "no")
        stage.said()
        stage.lose()
        stage.connect()
        stage.confirm()
        said = stage.said()
        assert said.index("PRIVMSG #ops :alice: no") < 9
        assert [line for line in said if "NOTICE" in line] == [
            f"NOTICE #ops :{text}" for text in numbers(1, 20)
        ]

    def test_stale_progress_is_dropped(self):
        stage = Stage()
        answer(stage.outlet(), *["fills the window"] * 6)
        answer(stage.outlet(), *["and more"] * 6)
        stage.outlet().write(Kind.PROGRESS, "50 %")
        stage.said()
        stage.lose()
        stage.connect()
        stage.confirm()
        assert not any("50 %" in line for line in stage.said())

    def test_what_is_five_minutes_old_is_lost_logged_and_the_channel_told(self, caplog):
        stage = Stage()
        stage.lose()
        answer(Outlet(stage.voice, "#ops", None), "secret")
        stage.now = 60
        answer(Outlet(stage.voice, "#ops", None), "another")
        assert stage.voice.due == FRESH
        stage.now = FRESH
        with caplog.at_level(logging.WARNING):
            stage.voice.tick(stage.now)
            stage.now += 90
            stage.connect()
        assert stage.said() == [
            "NOTICE #ops :2 lines could not be delivered between 21:00 and 21:01"
        ]
        assert [record.getMessage() for record in caplog.records] == [
            "lost a line to #ops: not reached for 5 minutes"
        ] * 2
        stage.lose()
        stage.connect()
        assert stage.said() == [
            "NOTICE #ops :2 lines could not be delivered between 21:00 and 21:01"
        ]
        stage.arrive()
        stage.lose()
        stage.connect()
        assert stage.said() == []

    def test_what_finds_no_room_in_a_channel_we_are_in_is_told_there(self, monkeypatch):
        monkeypatch.setattr(pacing, "LIMIT", 3)
        stage = Stage(lines=50)
        answer(stage.outlet(), *numbers(1, 12))
        stage.confirm()
        stage.said()
        assert stage.voice.due == TOLD
        stage.now = TOLD
        stage.voice.tick(stage.now)
        assert stage.said() == ["NOTICE #ops :1 line could not be delivered at 21:00"]

    def test_what_waits_is_bounded(self, caplog, monkeypatch):
        monkeypatch.setattr(voice, "LIMIT", 3)
        stage = Stage(lines=50)
        stage.lose()
        answer(Outlet(stage.voice, "#ops", None), *numbers(1, 5))
        stage.connect()
        assert stage.said() == [
            *(f"NOTICE #ops :line {number}" for number in (3, 4, 5)),
            "NOTICE #ops :2 lines could not be delivered at 21:00",
        ]
        assert caplog.text.count("too many wait") == 2

    def test_a_private_answer_waits_until_it_is_shown_who_has_the_nick(self):
        stage = Stage()
        found = stage.outlet(where="")
        stage.lose()
        answer(found, "for alice only")
        stage.connect(":s 353 opsbot = #ops :alice")
        assert stage.said() == []
        stage.hear(":alice!x@y ACCOUNT eve")
        stage.voice.deliver()
        assert stage.said() == []
        stage.hear(":al2!x@y JOIN #ops alice :A")
        stage.voice.deliver()
        assert stage.said() == ["PRIVMSG al2 :for alice only"]

    def test_a_line_fitted_under_a_shorter_name_is_fitted_again(self):
        stage = Stage(lines=9)
        stage.lose()
        answer(Outlet(stage.voice, "#ops", None), "x" * 400)
        stage.connect()
        stage.said()
        stage.lose()
        stage.roster.reset("opsbot", set())
        answer(Outlet(stage.voice, "#ops", None), "y" * 390)
        stage.roster.reset("opsbot__", set())
        stage.hear(f":opsbot__!ircops@{'h' * 90} JOIN #ops")
        stage.voice.deliver()
        for line in stage.said():
            assert len(f":opsbot__!ircops@{'h' * 90} {line}\r\n".encode()) <= 512

    def test_out_of_the_channel_answers_wait_too(self):
        stage = Stage()
        stage.hear(":op!o@h KICK #ops opsbot :out")
        answer(stage.outlet(), "one")
        assert stage.said() == []
        stage.hear(":opsbot!ircops@bot.host JOIN #ops")
        stage.voice.deliver()
        assert stage.said() == ["PRIVMSG #ops :alice: one"]

    def test_what_the_stop_leaves_is_logged(self, caplog):
        stage = Stage()
        stage.lose()
        answer(Outlet(stage.voice, "#ops", None), "one")
        stage.voice.give_up()
        assert "lost a line to #ops: the bot stopped" in caplog.text
