"""The way from an open socket to the welcome, every way it can end, without a socket."""

import base64
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.config import Bot, Network, Secret
from ircops.errors import Refused
from ircops.irc.ends import Banned, Throttled, Unavailable
from ircops.irc.protocol import parse
from ircops.irc.registration import Regain, Registration, alternates
from ircops.irc.roster import Roster

LOGIN = {"sasl_username": "bot", "sasl_password": Secret("s3cret")}
OPTIONAL = {**LOGIN, "sasl_required": False}
WELCOME = ":irc.test 001 opsbot :Welcome"


class Talk:
    """A registration and a server that says what the test says; `said` is what was answered to the last line."""

    def __init__(self, nick="opsbot", is_secret=True, **network):
        self.registration = Registration(Bot(nick=nick), Network(**network), is_secret, now=0.0)
        self.now = 0.0
        self.started = [line.decode() for line in self.registration.start()]
        self.said = self.started

    def hears(self, *lines):
        self.said = [
            said.decode()
            for line in lines
            for said in self.registration.feed(parse(line), self.now)
        ]
        return self.said

    def after(self, seconds):
        self.now = seconds
        self.said = [line.decode() for line in self.registration.tick(seconds)]
        return self.said


def at_sasl(**network):
    """A talk that has just said AUTHENTICATE PLAIN."""
    talk = Talk(**network)
    talk.hears(":s CAP * LS :sasl=PLAIN,EXTERNAL", ":s CAP * ACK :sasl")
    assert talk.said[-1] == "AUTHENTICATE PLAIN"
    return talk


def with_password_sent(**network):
    talk = at_sasl(**network)
    talk.hears("AUTHENTICATE +")
    return talk


def test_cap_is_the_first_word_and_the_password_comes_before_the_nick():
    talk = Talk(server_password=Secret("two words"))
    user = "USER ircops 0 * :ircops, an ops bot"
    assert talk.started == ["CAP LS 302", "PASS :two words", "NICK opsbot", user]


def test_only_what_is_offered_and_used_is_asked_for():
    talk = Talk()
    assert talk.hears(":s CAP * LS :tls account-tag sasl=PLAIN batch=x ") == [
        "CAP REQ :account-tag batch"
    ]
    assert talk.hears(":s CAP * ACK :account-tag batch ") == ["CAP END"]
    assert talk.registration.caps == {"account-tag", "batch"}


def test_capabilities_may_come_in_several_lines_and_be_granted_in_several():
    talk = Talk()
    assert talk.hears(":s CAP * LS * :account-tag foo") == []
    assert talk.hears(":s CAP * LS :server-time") == ["CAP REQ :account-tag server-time"]
    assert talk.hears(":s CAP opsbot ACK :server-time") == []
    assert talk.hears(":s CAP opsbot ACK account-tag") == ["CAP END"]


@pytest.mark.parametrize("nothing", [":s CAP * LS :", ":s CAP * LS", ":s CAP * LS :unknown"])
def test_nothing_offered_ends_the_negotiation(nothing):
    assert Talk().hears(nothing) == ["CAP END"]


def test_refused_together_they_are_asked_for_one_by_one():
    talk = Talk()
    talk.hears(":s CAP * LS :account-tag batch")
    assert talk.hears(":s CAP * NAK :account-tag batch") == ["CAP REQ account-tag", "CAP REQ batch"]
    assert talk.hears(":s CAP * ACK :account-tag", ":s CAP * NAK :batch") == ["CAP END"]
    assert talk.registration.caps == {"account-tag"}


def test_what_comes_and_goes_later_is_followed():
    talk = Talk()
    talk.hears(":s CAP * LS :", WELCOME)
    assert talk.hears(":s CAP opsbot NEW :account-tag sasl=PLAIN") == ["CAP REQ account-tag"]
    assert talk.hears(":s CAP opsbot ACK :account-tag") == []
    assert talk.registration.caps == {"account-tag"}
    talk.hears(":s CAP opsbot DEL :account-tag")
    assert talk.registration.caps == set()


def test_a_refusal_need_not_name_what_it_refuses():
    talk = Talk()
    talk.hears(":s CAP * LS :account-tag batch")
    assert talk.hears(":s CAP * NAK :account-t") == ["CAP REQ account-tag", "CAP REQ batch"]
    assert talk.hears(":s CAP * NAK :", ":s CAP * NAK") == ["CAP END"]
    assert talk.hears(":s CAP * NAK :batch") == []


def test_requests_go_in_lines_whose_answers_fit(monkeypatch):
    names = {f"draft/capability-{number}" for number in range(60)}
    monkeypatch.setattr("ircops.irc.registration.WANTED", names)
    talk = Talk()
    talk.hears(":s CAP * LS * :" + " ".join(sorted(names)[:20]))
    requests = talk.hears(":s CAP * LS :" + " ".join(sorted(names)[20:]))
    assert len(requests) > 2
    asked = [line.removeprefix("CAP REQ :") for line in requests]
    assert sorted(" ".join(asked).split()) == sorted(names)
    for line in asked[:-1]:
        assert len(f":{'s' * 63} CAP {'n' * 30} ACK :{line}") <= 510
        assert talk.hears(f":s CAP * ACK :{line} ") == []
    assert talk.hears(f":s CAP * ACK :{asked[-1]}") == ["CAP END"]
    assert talk.registration.caps == names


def test_a_server_without_cap_welcomes_us_as_it_is():
    talk = Talk()
    assert talk.hears(":s 421 * CAP :Unknown command", ":s 451 * :Register first", WELCOME) == []
    assert talk.registration.is_welcome and talk.registration.due == math.inf


def test_the_welcome_says_what_our_nick_is():
    talk = Talk(nick="averyveryverylongnick")
    talk.hears(":s 001 averyvery :Welcome")
    assert talk.registration.nick == "averyvery"


class TestSasl:
    def test_name_and_password_are_said_and_the_negotiation_ends(self):
        talk = with_password_sent(**LOGIN)
        payload = talk.said[-1].removeprefix("AUTHENTICATE ")
        assert base64.b64decode(payload) == b"bot\0bot\0s3cret"
        assert talk.hears(
            ":s 900 opsbot a!b@c bot :You are now logged in", ":s 903 opsbot :ok"
        ) == ["CAP END"]
        assert talk.hears(WELCOME) == []

    @pytest.mark.parametrize("colon", ["", ":"])
    def test_the_plus_may_have_a_colon(self, colon):
        assert len(at_sasl(**LOGIN).hears(f"AUTHENTICATE {colon}+")) == 1

    @pytest.mark.parametrize(
        ("size", "pieces"), [(1, 1), (289, 1), (290, 2), (292, 2), (293, 2), (592, 3), (900, 4)]
    )
    def test_long_passwords_go_in_pieces_of_400_with_a_plus_after_a_full_one(self, size, pieces):
        talk = with_password_sent(sasl_username="bot", sasl_password=Secret("x" * size))
        texts = [line.removeprefix("AUTHENTICATE ") for line in talk.said]
        assert len(texts) == pieces
        assert all(len(text) == 400 for text in texts[:-1]) and len(texts[-1]) < 400
        assert base64.b64decode("".join(texts).removesuffix("+")) == b"bot\0bot\0" + b"x" * size

    @pytest.mark.parametrize("numeric", ["902", "904", "905"])
    def test_a_wrong_password_is_refused_for_good(self, numeric):
        with pytest.raises(Refused, match="sasl_password") as error:
            with_password_sent(**LOGIN).hears(f":s {numeric} opsbot :SASL authentication failed")
        assert "s3cret" not in error.value.message

    @pytest.mark.parametrize(
        "line",
        [
            ":s 906 opsbot :SASL authentication aborted",
            ":s 908 opsbot EXTERNAL :are available SASL mechanisms",
            ":s 904 opsbot :SASL authentication failed",  # before we said who we are
            ":s 421 opsbot AUTHENTICATE :Unknown command",
        ],
    )
    def test_services_that_are_not_there_are_asked_again_later(self, line):
        with pytest.raises(Unavailable):
            at_sasl(**LOGIN).hears(line)

    @pytest.mark.parametrize(
        "lines",
        [
            [":s CAP * LS :batch", ":s CAP * ACK :batch"],
            [":s CAP * LS :sasl=EXTERNAL,SCRAM-SHA-256", ":s CAP * ACK :x"],
            [":s CAP * LS :"],
            [":s CAP * LS :sasl", ":s CAP * NAK :sasl"],
            [":s 421 * CAP :Unknown command", WELCOME],
            [WELCOME],
        ],
    )
    def test_no_login_offered_is_no_connection_but_worth_another_try(self, lines):
        with pytest.raises(Unavailable):
            Talk(**LOGIN).hears(*lines)
        talk = Talk(**OPTIONAL)
        talk.hears(*lines, WELCOME)
        assert talk.registration.is_welcome

    def test_silent_services_have_half_the_time(self):
        for talk in (at_sasl(**LOGIN), with_password_sent(**LOGIN)):
            assert talk.after(9.9) == []
            with pytest.raises(Unavailable, match="services do not answer"):
                talk.after(10)

    def test_without_need_for_a_login_we_go_on_when_it_fails(self):
        assert with_password_sent(**OPTIONAL).hears(":s 904 opsbot :no") == ["CAP END"]
        talk = at_sasl(**OPTIONAL)
        assert talk.hears(":s 908 opsbot EXTERNAL :mechanisms", ":s 904 opsbot :no") == ["CAP END"]
        talk = at_sasl(**OPTIONAL)
        assert talk.after(10) == ["AUTHENTICATE *", "CAP END"]
        assert talk.hears(":s 906 opsbot :aborted", WELCOME) == []

    def test_the_negotiation_does_not_end_before_the_login(self):
        talk = at_sasl(**LOGIN)
        assert talk.hears(":s CAP * ACK :sasl", ":s CAP * LS :sasl=PLAIN", ":s CAP * NAK :x") == []

    def test_who_is_logged_in_already_need_not_again(self):
        assert with_password_sent(**LOGIN).hears(":s 907 opsbot :already") == ["CAP END"]

    def test_no_password_is_said_where_others_can_listen(self):
        with pytest.raises(Refused, match="clear text"):
            Talk(is_secret=False, **LOGIN).hears(":s CAP * LS :sasl", ":s CAP * ACK :sasl")
        talk = Talk(is_secret=False, **OPTIONAL)
        assert talk.hears(":s CAP * LS :sasl", ":s CAP * ACK :sasl") == ["CAP REQ sasl", "CAP END"]
        talk = Talk(is_secret=False, sasl_over_plaintext=True, **LOGIN)
        assert talk.hears(":s CAP * LS :sasl", ":s CAP * ACK :sasl")[-1] == "AUTHENTICATE PLAIN"

    def test_services_that_come_back_are_logged_in_to_anew(self):
        talk = with_password_sent(**LOGIN)
        talk.hears(":s 903 opsbot :ok", WELCOME, ":s CAP opsbot DEL :sasl")
        assert talk.hears(":s CAP opsbot NEW :sasl=PLAIN server-time") == [
            "CAP REQ :sasl server-time"
        ]
        assert talk.hears(":s CAP opsbot ACK :sasl") == []
        assert talk.hears(":s CAP opsbot ACK :server-time") == ["AUTHENTICATE PLAIN"]
        assert len(talk.hears("AUTHENTICATE +")) == 1
        assert talk.hears(":s 903 opsbot :ok", ":s CAP opsbot ACK :server-time") == []
        assert talk.hears(":s CAP opsbot NEW :sasl=PLAIN") == ["CAP REQ sasl"]  # without a DEL

    @pytest.mark.parametrize("end", [":s 904 opsbot :no", ":s 906 opsbot :no", None])
    def test_services_that_do_not_take_us_back_end_nothing_while_we_are_logged_in(self, end):
        talk = with_password_sent(**LOGIN)
        talk.hears(
            ":s 903 opsbot :ok", WELCOME, ":s CAP opsbot NEW :sasl", ":s CAP opsbot ACK sasl"
        )
        assert talk.said[-1] == "AUTHENTICATE PLAIN"
        talk.hears("AUTHENTICATE +")
        assert (talk.hears(end) if end else talk.after(10)) == ([] if end else ["AUTHENTICATE *"])
        assert talk.registration.due == math.inf

    def test_logged_out_by_services_we_log_in_again_or_leave(self):
        talk = with_password_sent(**LOGIN)
        talk.hears(":s 903 opsbot :ok", WELCOME)
        assert talk.hears(":s 901 opsbot o!p@s :logged out") == ["AUTHENTICATE PLAIN"]
        assert talk.hears(":s 901 opsbot o!p@s :logged out") == []  # once is enough
        talk.hears("AUTHENTICATE +")
        with pytest.raises(Unavailable, match="check sasl_password|sasl_username"):
            talk.hears(":s 904 opsbot :no")  # whether for good, the next connection will tell

    def test_logged_out_without_services_we_are_away_unless_told_otherwise(self):
        for login in (LOGIN, OPTIONAL):
            talk = with_password_sent(**login)
            talk.hears(":s 903 opsbot :ok", WELCOME, ":s CAP opsbot DEL :sasl")
            if login is LOGIN:
                with pytest.raises(Unavailable, match="no login"):
                    talk.hears(":s 901 opsbot o!p@s :logged out")
            else:
                assert talk.hears(":s 901 opsbot o!p@s :logged out") == []
                assert talk.hears(":s CAP opsbot NEW :sasl") == ["CAP REQ sasl"]
                assert talk.hears(":s CAP opsbot ACK :sasl") == ["AUTHENTICATE PLAIN"]

    def test_a_welcome_in_the_middle_of_the_login_is_not_a_login(self):
        with pytest.raises(Unavailable, match="without a login"):
            with_password_sent(**LOGIN).hears(WELCOME)
        talk = with_password_sent(**OPTIONAL)
        assert talk.hears(WELCOME, ":s 903 opsbot :ok") == []

    def test_a_mechanism_that_is_not_offered_is_not_tried(self):
        with pytest.raises(Unavailable, match="SCRAM-SHA-256 at the moment"):
            Talk(sasl_mechanism="SCRAM-SHA-256", **LOGIN).hears(":s CAP * LS :sasl=PLAIN,EXTERNAL")


def test_a_server_that_never_welcomes_us_is_left():
    talk = Talk()
    assert talk.registration.due == 20
    assert talk.after(19.9) == []
    with pytest.raises(Unavailable, match="20 s"):
        talk.after(20)


@pytest.mark.parametrize("numeric", ["433", "436", "437", "432"])
def test_another_nick_is_tried_at_once(numeric):
    talk = Talk()
    assert talk.hears(f":s {numeric} * opsbot :no") == ["NICK opsbot_"]
    assert talk.hears(f":s {numeric} * opsbot_ :no") == ["NICK opsbot__"]
    talk.hears(":s 001 opsbot__ :Welcome")
    assert talk.hears(f":s {numeric} opsbot__ opsbot :no") == []


def test_a_nick_that_is_too_long_is_cut():
    talk = Talk(nick="averyverylongnick")
    assert talk.hears(":s 432 * averyverylongnick :Erroneous") == ["NICK averyvery"]
    assert talk.hears(":s 433 * averyvery :in use") == ["NICK averyver_"]


def test_nicks_run_out():
    talk = Talk()
    with pytest.raises(Unavailable, match="set another one"):
        for _ in range(100):
            talk.hears(":s 432 * x :Erroneous")


@given(st.text("abc[]", min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_alternates_are_new_and_no_longer_than_allowed(nick):
    found = list(alternates(nick))
    assert all(len(other) <= max(9, len(nick)) for other in found)
    assert len(found) == len(set(found)) and nick not in found


@pytest.mark.parametrize(
    "line",
    [
        ":s 465 opsbot :You are banned from this server: go away",
        "ERROR :Closing Link: opsbot (K-Lined)",
        "ERROR :Closing link: (x@y) [G-lined: spam]",
        "ERROR :You are banned",
    ],
)
@pytest.mark.parametrize("before", [[], [WELCOME]])
def test_a_ban_asks_for_patience_and_is_told_in_the_servers_words(line, before):
    with pytest.raises(Banned, match=r"banned from|[KG]-[Ll]ined|You are banned") as error:
        Talk().hears(*before, line)
    assert error.value.patience == 300


@pytest.mark.parametrize(
    "line",
    [
        "ERROR :Closing Link: [::1] (Throttled: Reconnecting too fast) - Email admin@irc.test",
        "ERROR :Trying to reconnect too fast.",
        "ERROR :Too many host connections (local)",
        ":s 465 x :You are banned: too many connections in too short a duration",
    ],
)
def test_who_came_too_often_waits_longer(line):
    with pytest.raises(Throttled) as error:
        Talk().hears(line)
    assert error.value.patience == 15


def test_a_wrong_server_password_is_for_good():
    with pytest.raises(Refused, match="Password incorrect; set server_password"):
        Talk().hears(":s 464 opsbot :Password incorrect")
    assert Talk().hears(WELCOME, ":s 464 opsbot :Password incorrect") == []  # of OPER, say


@pytest.mark.parametrize(
    "line", ["ERROR :Closing Link: (Ping timeout)", "ERROR :Server is shutting down", "ERROR"]
)
def test_other_errors_are_worth_another_try(line):
    with pytest.raises(Unavailable) as error:
        Talk().hears(line)
    assert error.value.patience == 0


@pytest.mark.parametrize(
    "words",
    [
        "Closing Link: opsbot (Killed (oper (banned idiot)))",
        "KILLed by oper: banned idiot",  # ngIRCd
        "Closing Link: opsbot[host] (Local kill by oper (banned idiot))",  # UnrealIRCd
    ],
)
def test_a_kill_is_no_ban_whatever_its_reason(words):
    with pytest.raises(Unavailable, match="banned idiot") as error:
        Talk().hears(WELCOME, f"ERROR :{words}")
    assert error.value.patience == 0


LINES = [
    ":s CAP * LS :sasl account-tag",
    ":s CAP * LS * :x",
    ":s CAP * ACK :sasl",
    ":s CAP * NAK :a b",
    "CAP",
]
LINES += [
    "CAP *",
    ":s CAP * ACK",
    ":s CAP * DEL :sasl",
    ":s CAP * NEW :batch",
    "AUTHENTICATE",
    "AUTHENTICATE +",
]
LINES += [":s 903 x", "904", "908", "433", "432", "001", "421", ":s 421 x AUTHENTICATE"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(LINES)))
def test_no_order_of_lines_raises_anything_else_or_ends_the_negotiation_twice(lines):
    talk = Talk(**OPTIONAL)
    said = []
    try:
        for line in lines:
            said += talk.hears(line)
    except (Refused, Unavailable):
        pass
    assert said.count("CAP END") <= 1


class TestRegain:
    def regain(self):
        roster = Roster()
        roster.reset("opsbot", set())
        regain = Regain("opsbot", roster)

        def hears(line, now):
            roster.feed(parse(line))
            return [said.decode() for said in regain.feed(parse(line), now)]

        return regain, hears

    def test_our_own_nick_needs_no_effort(self):
        regain, hears = self.regain()
        assert hears(WELCOME, 0) == []
        assert regain.due == math.inf

    def test_it_is_taken_back_the_moment_its_holder_goes(self):
        regain, hears = self.regain()
        hears(":s 001 opsbot_ :Welcome", 0)
        assert hears(":alice!a@b QUIT", 1) == []
        assert hears(":OPSBOT!a@b QUIT :Ping timeout", 2) == ["NICK opsbot"]
        assert hears(":opsbot_!a@b NICK opsbot", 3) == []
        assert regain.due == math.inf

    def test_it_is_asked_for_now_and_then(self):
        regain, hears = self.regain()
        hears(":s 001 opsbot_ :Welcome", 0)
        assert regain.tick(29) == []
        assert regain.tick(30) == [b"NICK opsbot"]
        assert regain.tick(31) == []
        assert regain.tick(60) == [b"NICK opsbot"]

    def test_services_that_rename_us_are_not_fought(self):
        regain, hears = self.regain()
        hears(WELCOME, 0)
        assert hears(":opsbot!a@b NICK Guest1", 5) == []
        assert regain.due == 35
