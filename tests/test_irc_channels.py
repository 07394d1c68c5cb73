"""Which channels we get into, and which lines become calls."""

import asyncio

import pytest

from ircops.call import Sender
from ircops.config import Bot, Join, Network, Secret, Settings
from ircops.irc.channels import Joins, Listener
from ircops.irc.outlet import Voice
from ircops.irc.pacing import Pacer
from ircops.irc.protocol import parse
from ircops.irc.roster import Roster

JOINS = (Join("#ops"), Join("#Secret", Secret("key")))
IN = ":opsbot!i@b JOIN #ops"


class Gate:
    """The joins of a bot called opsbot."""

    def __init__(self, joins=JOINS):
        self.roster = Roster()
        self.roster.reset("opsbot", set())
        self.told = []  # of trouble
        self.joins = Joins(self.roster, joins, lambda *event: self.told.append(event))

    def hear(self, line, now):
        self.roster.feed(parse(line))
        return [said.decode() for said in self.joins.feed(parse(line), now)]

    def tick(self, now):
        return [said.decode() for said in self.joins.tick(now)]


class TestJoins:
    def test_channels_are_joined_with_their_keys_after_the_welcome_and_not_before(self):
        gate = Gate()
        assert gate.tick(1e9) == []
        assert gate.joins.begin(5.0) == [b"JOIN #ops", b"JOIN #Secret key"]

    def test_who_is_there_is_asked_in_the_servers_way(self):
        gate = Gate()
        assert gate.hear(IN, 0) == ["WHO #ops", "MODE #ops"]
        gate.hear(":s 005 opsbot WHOX :are supported", 0)
        assert gate.hear(IN, 0) == ["WHO #ops %tuhna,152", "MODE #ops"]
        gate.hear(":s 005 opsbot MONITOR=30 :are supported", 0)
        assert gate.hear(IN, 0)[2:] == ["MONITOR + NickServ"]
        assert gate.hear(":alice!a@b JOIN #ops", 0) == []

    def test_after_a_kick_it_comes_back_ever_more_patiently(self):
        gate = Gate(joins=JOINS[:1])
        gate.joins.begin(0)
        gate.hear(IN, 0)
        now, waits = 0.0, []
        for _ in range(12):
            assert gate.hear(":alice!a@b KICK #ops opsbot :out", now) == []
            waits.append(gate.joins.due - now)
            now = gate.joins.due
            assert gate.tick(now) == ["JOIN #ops"]
            gate.hear(IN, now)
        assert waits[:4] == [2, 4, 8, 16] and waits[-1] == 600
        gate.hear(":alice!a@b KICK #OPS OPSBOT", now + 301)
        assert gate.joins.due == now + 303

    @pytest.mark.parametrize("numeric", ["471", "473", "474", "475", "477", "405", "403"])
    def test_a_channel_that_refuses_us_is_tried_again_slowly_and_it_is_said(self, numeric, caplog):
        gate = Gate(joins=JOINS[:1])
        gate.joins.begin(0)
        assert gate.hear(f":s {numeric} opsbot #OPS :Cannot join channel (+x)", 0) == []
        assert "cannot join #ops: Cannot join channel (+x); next try in 60 s" in caplog.text
        assert gate.tick(59) == []
        assert gate.tick(60) == ["JOIN #ops"]
        gate.hear(f":s {numeric} opsbot #ops :no", 60)
        assert gate.joins.due == 180

    def test_a_line_that_is_not_let_in_is_lost_which_is_counted_and_told_once(self, caplog):
        gate = Gate()
        gate.hear(IN, 0)
        for _ in range(3):
            gate.hear(":s 404 opsbot #OPS :Cannot send to channel (+m)", 0)
        assert gate.joins.lost == 3
        sentence = "#OPS did not let a line of ours in: Cannot send to channel (+m)"
        assert caplog.text.count(sentence) == 3 and "(3 lost so far)" in caplog.text
        assert gate.told == [("#OPS", f"{sentence} (1 lost so far)")]
        gate.hear(IN, 0)  # another beginning
        gate.hear(":s 404 opsbot #ops :Cannot send to channel (+m)", 0)
        assert len(gate.told) == 2

    @pytest.mark.parametrize("numeric", ["401", "404", "408", "477", "482", "531"])
    def test_there_are_many_ways_to_say_that_a_line_was_not_let_in(self, numeric):
        gate = Gate()
        gate.hear(IN, 0)
        gate.hear(f":s {numeric} opsbot #ops :no", 0)
        assert gate.joins.lost == 1 and gate.joins.due == float("inf")

    def test_a_person_who_is_not_there_is_no_trouble_with_a_channel(self, caplog):
        gate = Gate()
        gate.hear(":s 401 opsbot alice :No such nick", 0)
        assert gate.joins.lost == 1 and gate.told == []
        assert "alice did not let a line of ours in: No such nick" in caplog.text

    def test_a_kick_and_a_closed_door_are_told_once_each_time_it_begins(self):
        gate = Gate(joins=JOINS[:1])
        gate.joins.begin(0)
        for now in (0, 60, 180):
            gate.hear(":s 473 opsbot #ops :Cannot join channel (+i)", now)
        closed = "cannot join #ops: Cannot join channel (+i); next try in 60 s"
        assert gate.told == [("#ops", closed)]
        gate.hear(IN, 400)
        gate.hear(":alice!a@b KICK #ops opsbot :out", 800)
        gate.hear(IN, 802)
        gate.hear(":alice!a@b KICK #ops opsbot :out", 803)
        kicked = "no longer in #ops: kicked by alice: out; back in 2 s"
        assert gate.told == [("#ops", closed), ("#ops", kicked)]

    def test_what_is_shared_with_somebody_is_where_both_are(self):
        gate = Gate()
        gate.hear(IN, 0)
        gate.hear(":opsbot!i@b JOIN #secret", 0)
        gate.hear(":alice!al@home JOIN #OPS", 0)
        assert gate.joins.shared_with("alice!al@home") == ["#ops"]
        assert gate.joins.shared_with("alice!al@elsewhere") == []  # another one of that name
        assert gate.joins.shared_with("bob!b@c") == gate.joins.shared_with("") == []
        gate.hear(":alice!al@home PART #ops", 0)
        assert gate.joins.shared_with("alice!al@home") == []

    def test_no_answer_at_all_is_asked_again(self):
        gate = Gate(joins=JOINS[:1])
        gate.joins.begin(0)
        assert gate.tick(60) == ["JOIN #ops"]

    def test_an_invitation_is_followed_to_our_channels_only(self):
        gate = Gate(joins=JOINS[:1])
        assert gate.hear(":alice!a@b INVITE opsbot #else", 0) == []
        assert gate.hear(":alice!a@b INVITE opsbot :#OPS", 0) == ["JOIN #ops"]
        gate.hear(IN, 0)
        assert gate.hear(":alice!a@b INVITE opsbot #ops", 1) == []

    def test_made_to_leave_it_comes_back(self):
        gate = Gate(joins=JOINS[:1])
        gate.hear(IN, 0)
        gate.hear(":opsbot!i@b PART #ops", 9)
        assert gate.tick(11) == ["JOIN #ops"]

    def test_in_a_channel_nothing_more_is_tried(self):
        gate = Gate(joins=JOINS[:1])
        gate.joins.begin(0)
        gate.hear(IN, 0)
        gate.hear(":s 403 opsbot #ops :No such channel", 0)
        assert gate.tick(1e6) == []
        assert gate.joins.due == float("inf")

    def test_new_settings_are_followed_at_once(self):
        gate = Gate()
        gate.joins.begin(0)
        gate.hear(IN, 0)
        gate.hear(":opsbot!i@b JOIN #secret", 0)
        assert gate.joins.reload([Join("#OPS"), Join("#new")], due=5) == [b"PART #secret"]
        assert gate.tick(5) == ["JOIN #new"]
        assert gate.joins.names == ["#OPS", "#new"]
        gate.hear(":opsbot!i@b PART #secret", 5)
        assert gate.tick(60) == []


class Ear:
    """A listener in #ops, with alice; `heard` are its calls so far."""

    def __init__(self, caps=("account-notify", "extended-join"), prefix="!", fails=False):
        self.heard = []
        self.fails = fails
        settings = Settings(bot=Bot(prefix=prefix), networks={"libera": Network(channels=JOINS)})
        self.roster = Roster()
        self.roster.reset("opsbot", set(caps))
        joins = Joins(self.roster, JOINS)
        pacer = Pacer(lambda line: None, lambda: 0.0, lambda seconds, callback: None)
        voice = Voice(settings, self.roster, pacer, lambda: 0.0, lambda seconds, callback: None)
        self.listener = Listener("libera", settings, self.roster, joins, voice, self._handle)
        self.hear(IN, ":alice!al@home JOIN #ops alice :Alice")

    async def _handle(self, call):
        if self.fails:
            raise RuntimeError("a bug")
        self.heard.append(call)

    def hear(self, *lines):
        for line in lines:
            self.roster.feed(parse(line))
            self.listener.feed(parse(line))


def calls(*lines, **options):
    """The calls that `lines` make."""

    async def listen():
        ear = Ear(**options)
        ear.hear(*lines)
        await asyncio.sleep(0)
        return ear.heard

    return asyncio.run(listen())


def said(text, where="#ops", **options):
    return [call.line for call in calls(f":alice!al@home PRIVMSG {where} :{text}", **options)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("!load @web", "load @web"),
        ("!load", "load"),
        ("!load  ", "load"),
        ("!docker-ps_2 x", "docker-ps_2 x"),
        ("opsbot: load @web", "load @web"),
        ("OPSBOT, load @web", "load @web"),
        ("opsbot:load", "load"),
        ("opsbot: !load", "load"),
        ("opsbot: 8080", "8080"),
        ("!LOAD É", "LOAD É"),
    ],
)
def test_words_for_us_are_a_call(text, line):
    assert said(text) == [line]


NOT_FOR_US = [
    "",
    "!",
    "!!!",
    "!?",
    "! load",
    "!1",
    "!wow!",
    "!load;",
    "load",
    "opsbot load",
    "opsbot:",
]
NOT_FOR_US += [
    "opsbot: :)",
    "opsbots: load",
    "hey opsbot: load",
    " !load",
    ".load",
    "!élan",
    "opsbot_: load",
]
NOT_FOR_US += ["\x01ACTION !load\x01", "\x01VERSION\x01", "\x01!load"]


@pytest.mark.parametrize("text", NOT_FOR_US)
def test_other_words_are_left_alone(text):
    assert said(text) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("load @web", ["load @web"]),
        ("!load", ["load"]),
        ("opsbot: load", ["load"]),
        ("8080", ["8080"]),
        *[(text, []) for text in ("!!!", "?", ":)", "", "\x01PING 1\x01")],
    ],
)
def test_in_private_the_prefix_is_optional(text, lines):
    assert said(text, where="OpsBot") == lines


def test_the_prefix_is_the_operators_choice():
    assert said("!load", prefix="%") == []
    assert said("%load", prefix="%") == ["load"]
    assert said("ops load", prefix="ops ") == ["load"]


@pytest.mark.parametrize(
    "line",
    [
        ":alice!al@home NOTICE #ops :!load",
        ":alice!al@home NOTICE opsbot :load",
        ":opsbot!i@b PRIVMSG #ops :!load",
        ":OPSBOT!i@b PRIVMSG opsbot :load",
        "@bot :other!o@h PRIVMSG #ops :!load",
        "@inspircd.org/bot :other!o@h PRIVMSG #ops :!load",
        "@batch=7 :alice!al@home PRIVMSG #ops :!load",
        ":alice!al@home PRIVMSG @#ops :!load",
        ":alice!al@home PRIVMSG +#ops :!load",
        ":alice!al@home PRIVMSG #else :!load",
        ":alice!al@home PRIVMSG $$* :!load",
        ":irc.test PRIVMSG #ops :!load",
        "PRIVMSG #ops :!load",
        ":alice!al@home PRIVMSG #ops",
        ":alice!al@home PRIVMSG",
        "@+typing=active :alice!al@home TAGMSG #ops",
    ],
)
def test_what_is_no_live_word_of_a_person_to_us_is_never_acted_on(line):
    assert calls(line) == []


NOW, BEFORE, SLIGHTLY = (
    "2026-11-22T12:00:00.500Z",
    "2026-11-22T11:59:59.400Z",
    "2026-11-22T12:00:00.000Z",
)


@pytest.mark.parametrize("time", [BEFORE, "1999-01-01T00:00:00Z", "nonsense", ""])
def test_history_is_not_acted_on(time):
    old = f"@time={time} :alice!al@home PRIVMSG"
    assert calls(f"@time={NOW} :s 001 opsbot :Welcome", f"{old} opsbot :load") == []
    assert calls(f"@time={NOW} {IN}", f"{old} #ops :!load") == []


@pytest.mark.parametrize("time", [NOW, SLIGHTLY, "2026-11-22T12:00:09.000Z"])
def test_what_is_said_after_we_came_is_acted_on(time):
    lines = calls(f"@time={NOW} {IN}", f"@time={time} :alice!al@home PRIVMSG #ops :!load")
    assert len(lines) == 1


def test_a_server_that_stamps_only_what_is_said_gives_nothing_to_compare_with():
    assert len(calls(f"@time={BEFORE} :alice!al@home PRIVMSG #ops :!load")) == 1


def test_a_call_says_who_where_and_which_line():
    (call,) = calls("@msgid=7f :alice!al@home PRIVMSG #OPS :!load @web")
    assert (call.line, call.where, call.message_id) == ("load @web", "#ops", "7f")
    assert call.sender == Sender(
        door="irc",
        name="alice",
        account="alice",
        mask="alice!al@home",
        network="libera",
        evidence="extended-join",
        in_channel=True,
    )
    (call,) = calls(":alice!al@home PRIVMSG opsbot :load")
    assert (call.where, call.sender.in_channel, call.message_id) == ("", True, "")


def test_the_tag_of_the_line_says_whose_call_it_is():
    caps = ("account-tag", "account-notify", "extended-join")
    tagged, bare = calls(
        "@account=carol :alice!al@home PRIVMSG #ops :!x",
        ":alice!al@home PRIVMSG #ops :!x",
        caps=caps,
    )
    assert (tagged.sender.account, tagged.sender.evidence) == ("carol", "account-tag")
    assert (bare.sender.account, bare.sender.evidence) == ("", "")


def test_who_is_in_none_of_our_channels_is_not_in_channel():
    outside, inside = calls(
        ":eve!e@h PRIVMSG #ops :!load",  # a channel without +n
        ":opsbot!i@b JOIN #else",
        ":eve!e@h JOIN #else",
        ":eve!e@h PRIVMSG opsbot :load",
    )
    assert not outside.sender.in_channel and not inside.sender.in_channel


def test_a_person_who_left_is_no_longer_in_channel_nor_known():
    (call,) = calls(":alice!al@home PART #ops", ":alice!al@home PRIVMSG opsbot :load")
    assert (call.sender.in_channel, call.sender.account) == (False, "")


def test_calls_are_handled_in_the_order_they_came_and_none_waits_for_another():
    async def talk():
        order, ear = [], Ear()
        first = asyncio.Event()

        async def handle(call):
            order.append(f"{call.line} begins")
            if call.line == "slow":
                await first.wait()
            order.append(f"{call.line} ends")

        ear.listener._handle = handle
        ear.hear(":alice!al@home PRIVMSG #ops :!slow", ":alice!al@home PRIVMSG #ops :!quick")
        await asyncio.sleep(0)
        first.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return order

    assert asyncio.run(talk()) == ["slow begins", "quick begins", "quick ends", "slow ends"]


def test_a_call_that_fails_is_logged_and_the_next_is_heard(caplog):
    async def listen():
        ear = Ear(fails=True)
        ear.hear(":alice!al@home PRIVMSG #ops :!x")
        await asyncio.sleep(0.01)
        ear.fails = False
        ear.hear(":alice!al@home PRIVMSG #ops :!y")
        await asyncio.sleep(0)
        return ear.heard

    assert [call.line for call in asyncio.run(listen())] == ["y"]
    assert "a bug" in caplog.text
