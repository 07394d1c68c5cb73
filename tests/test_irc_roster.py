"""Who is where, under which account: every line that says so, and every way to lose it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.irc.protocol import parse
from ircops.irc.roster import Person, Roster

ALL_CAPS = {"account-tag", "account-notify", "extended-join", "chghost"}
CACHE_CAPS = ALL_CAPS - {"account-tag"}


def roster(caps=CACHE_CAPS, *lines):
    found = Roster()
    found.reset("opsbot", set(caps))
    tell(found, ":irc.test 001 opsbot :Welcome", ":opsbot!ircops@bot.host JOIN #ops * :bot", *lines)
    return found


def tell(found, *lines):
    for line in lines:
        found.feed(parse(line))


def account(found, nick):
    person = found.person(nick)
    return person and person.account


ALICE = ":alice!al@home JOIN #ops alice :Alice"


def test_extended_join_says_who_is_logged_in():
    found = roster(CACHE_CAPS, ALICE, ":bob!b@home JOIN #ops * :Bob")
    assert found.person("ALICE").evidence == "extended-join"
    assert (account(found, "alice"), account(found, "bob")) == ("alice", "")


def test_a_join_without_the_capability_says_nothing_of_accounts():
    assert account(roster({"account-notify"}, ALICE), "alice") == ""


def test_whox_says_who_is_logged_in_and_from_where():
    found = roster(CACHE_CAPS, ":irc.test 353 opsbot = #ops :@opsbot alice +bob")
    tell(
        found,
        ":irc.test 354 opsbot 152 al home alice alice",
        ":irc.test 354 opsbot 152 b home bob 0",
        ":irc.test 354 opsbot 999 x x bob root",  # somebody else's question
    )
    assert (account(found, "alice"), account(found, "bob")) == ("alice", "")
    assert (found.person("alice").host, found.person("alice").evidence) == ("home", "whox")


def test_an_account_is_not_believed_where_a_logout_would_not_be_heard_of():
    found = roster({"extended-join"}, ALICE, ":irc.test 354 opsbot 152 al home alice alice")
    assert account(found, "alice") == ""


def test_logging_in_and_out_counts_at_once():
    found = roster(CACHE_CAPS, ALICE, ":alice!al@home ACCOUNT carol")
    assert (account(found, "alice"), found.person("alice").evidence) == ("carol", "account-notify")
    tell(found, ":alice!al@home ACCOUNT *")
    assert (account(found, "alice"), found.person("alice").evidence) == ("", "")


@pytest.mark.parametrize(
    "line",
    [
        ":alice!al@home QUIT",
        ":alice!al@home QUIT :irc.test other.test",  # a netsplit
        "@batch=b :alice!al@home QUIT :*.net *.split",  # one told in a batch
        ":alice!al@home PART #ops :bye",
        ":op!o@home KICK #ops alice",
        ":op!o@home KICK #OPS ALICE :no",
        ":opsbot!ircops@bot.host PART #ops",
        ":op!o@home KICK #ops opsbot :out",
    ],
)
def test_who_is_gone_has_no_account(line):
    found = roster(CACHE_CAPS, ALICE, line)
    assert found.person("alice") is None
    tell(found, ":alice!evil@else JOIN #ops * :x")
    assert not account(found, "alice")


def test_one_of_two_channels_left_leaves_the_account():
    found = roster(CACHE_CAPS, ":opsbot!i@b JOIN #db", ALICE, ":alice!al@home JOIN #db alice :A")
    tell(found, ":alice!al@home PART #ops")
    assert account(found, "alice") == "alice"
    assert found.person("alice").channels == {"#db"}


def test_the_account_follows_the_nick_and_does_not_stay_behind():
    found = roster(CACHE_CAPS, ALICE, ":alice!al@home NICK :alice2")
    assert (account(found, "alice2"), found.person("alice")) == ("alice", None)


def test_a_nick_that_is_taken_over_has_the_rights_of_the_new_owner():
    found = roster(CACHE_CAPS, ALICE, ":eve!e@home JOIN #ops eve :E", ":eve!e@home NICK alice")
    assert account(found, "alice") == "eve"


def test_names_with_several_prefixes_and_hosts_are_read():
    found = roster(CACHE_CAPS, ":s 005 opsbot PREFIX=(qov)~@+ :are supported")
    tell(found, ":s 353 opsbot = #ops :~@+alice!al@home +bob  opsbot!ircops@bot.host")
    assert found.person("alice").host == "home"
    assert found.person("bob") and not found.person("+bob") and not found.person("")


def test_casemapping_is_obeyed():
    found = roster(CACHE_CAPS, ":a[b!x@y JOIN #ops ab :x")
    assert account(found, "A{B") == "ab"
    found = Roster()
    found.reset("opsbot", CACHE_CAPS)
    tell(
        found,
        ":s 005 opsbot CASEMAPPING=ascii :are",
        ":opsbot!i@b JOIN #ops",
        ":a[b!x@y JOIN #ops ab :x",
    )
    assert found.person("A{B") is None
    assert account(found, "A[B") == "ab"


def test_the_tag_of_the_line_wins_over_all_that_was_known():
    found = roster(ALL_CAPS, ALICE)
    said = parse("@account=carol :alice!al@home PRIVMSG #ops :!x")
    assert (found.speaker(said).account, found.speaker(said).evidence) == ("carol", "account-tag")


def test_a_line_without_the_tag_is_of_somebody_not_logged_in():
    found = roster(ALL_CAPS, ALICE)
    assert found.speaker(parse(":alice!al@home PRIVMSG #ops :!x")).account == ""


def test_a_tag_that_was_not_negotiated_proves_nothing():
    found = roster(set(), ":alice!al@home JOIN #ops")
    assert found.speaker(parse("@account=root :alice!al@home PRIVMSG #ops :!x")).account == ""


def test_a_stranger_has_the_account_of_the_tag_only():
    assert (
        roster(CACHE_CAPS).speaker(parse("@account=root :eve!e@h PRIVMSG opsbot :x")).account == ""
    )
    person = roster(ALL_CAPS).speaker(parse("@account=eve :eve!e@h PRIVMSG opsbot :x"))
    assert (person.account, person.channels) == ("eve", set())


def test_our_prefix_is_the_longest_until_it_is_known():
    found = Roster()
    found.reset("opsbot", set())
    assert found.prefix_size == len("opsbot!~") + 10 + len("@") + 63
    found = roster()
    assert found.prefix_size == len("opsbot!ircops@bot.host")
    tell(found, ":irc.test 396 opsbot hidden.example :is now your host")
    assert found.prefix_size == len("opsbot!ircops@hidden.example")
    tell(found, ":opsbot!ircops@hidden.example CHGHOST bot é.example", ":opsbot!x@y NICK ops")
    assert found.prefix_size == len("ops!bot@é.example".encode())


def test_our_own_nick_is_followed_in_any_case_of_letters():
    found = roster(CACHE_CAPS, ":OPSBOT!i@b NICK opsbot_")
    assert found.me == "opsbot_" and found.is_me("OPSBOT_")


def test_channel_modes_are_known():
    found = roster(CACHE_CAPS, ":s 324 opsbot #ops +ntk key", ":alice!a@b MODE #Ops +co-n alice")
    assert found.modes("#OPS") == {"t", "k", "c"}
    tell(found, ":alice!a@b MODE #ops -c", ":alice!a@b MODE opsbot +i")
    assert found.modes("#ops") == {"t", "k"}


class TestNickOf:
    """Under which nick an answer still reaches the one who asked."""

    def test_a_person_is_followed_through_nick_changes(self):
        found = roster(CACHE_CAPS, ALICE)
        person = found.person("alice")
        tell(found, ":alice!al@home NICK al2", ":eve!e@h JOIN #ops * :E", ":eve!e@h NICK alice")
        assert found.nick_of(person) == "al2"

    def test_nobody_else_gets_the_answer_of_one_who_quit(self):
        found = roster(CACHE_CAPS, ALICE)
        person = found.person("alice")
        tell(found, ":alice!al@home QUIT")
        assert found.nick_of(person) == ""
        tell(found, ":alice!evil@else JOIN #ops * :x")
        assert found.nick_of(person) == ""

    def test_a_stranger_is_where_they_spoke_from_until_we_reconnect(self):
        found = roster(CACHE_CAPS)
        person = found.speaker(parse(":eve!e@h PRIVMSG opsbot :x"))
        assert found.nick_of(person) == "eve"
        found.reset("opsbot", CACHE_CAPS)
        assert found.nick_of(person) == ""

    @pytest.mark.parametrize(
        "again", [":al9!x@y JOIN #ops alice :A", ":alice!al@home JOIN #ops * :A"]
    )
    def test_after_a_reconnect_the_account_or_the_host_shows_who_it_is(self, again):
        found = roster(CACHE_CAPS, ALICE)
        person = found.person("alice")
        found.reset("opsbot", CACHE_CAPS)
        tell(found, ":opsbot!i@b JOIN #ops")
        assert found.nick_of(person) == ""
        tell(found, again)
        assert found.nick_of(person) == (
            "al9" if "al9" in again else ""
        )  # she was logged in, he is not

    def test_who_comes_from_the_same_place_under_another_nick_is_somebody_else(self):
        found = roster({"account-notify"}, ":web1!web@gateway JOIN #ops")
        person = found.person("web1")
        tell(found, ":web1!web@gateway QUIT", ":web2!web@gateway JOIN #ops")
        assert found.nick_of(person) == ""
        tell(found, ":web1!web@gateway JOIN #ops")
        assert found.nick_of(person) == "web1"

    def test_a_nick_without_an_account_and_a_host_is_nobody(self):
        assert roster().nick_of(Person("alice")) == ""


def test_after_a_netsplit_the_account_is_proven_anew():
    found = roster(CACHE_CAPS, ALICE, ":alice!al@home QUIT :*.net *.split")
    tell(found, ":alice!al@home JOIN #ops * :a thief, or services that have not come back yet")
    assert account(found, "alice") == ""
    tell(found, ":alice!al@home ACCOUNT alice")
    assert account(found, "alice") == "alice"


def test_a_server_that_shows_a_new_host_by_a_quit_and_a_join_is_followed():
    found = roster(CACHE_CAPS, ALICE, ":alice!al@home QUIT :Changing host")
    tell(found, ":alice!al@cloak.example JOIN #ops alice :Alice")
    assert (found.person("alice").host, account(found, "alice")) == ("cloak.example", "alice")


def test_a_new_real_name_or_host_changes_no_right():
    found = roster(CACHE_CAPS, ALICE, ":alice!al@home SETNAME :root")
    tell(found, ":alice!al@home CHGHOST root admin.example")
    person = found.person("alice")
    assert (person.account, person.user, person.host) == ("alice", "root", "admin.example")


def test_what_said_who_is_logged_in_and_is_gone_is_not_believed_any_more():
    found = roster(CACHE_CAPS, ALICE)
    tell(found, ":irc.test CAP opsbot DEL :chghost")
    assert account(found, "alice") == "alice"
    tell(found, ":irc.test CAP opsbot DEL :account-notify chghost")
    assert account(found, "alice") == ""


def test_without_its_tag_an_account_is_believed_only_if_a_logout_would_be_heard_of():
    for caps, believed in ((ALL_CAPS, "alice"), (ALL_CAPS - {"account-notify"}, "")):
        found = roster(caps, ALICE)
        line = parse("@account=alice :alice!al@home PRIVMSG #ops :!load")
        assert found.speaker(line).account == "alice"
        found.caps.discard("account-tag")  # CAP DEL
        untagged = parse(":alice!al@home PRIVMSG #ops :!load")
        assert found.speaker(untagged).account == believed


nicks = st.sampled_from(["alice", "ALICE", "bob", "carol", "opsbot", "OpsBot", ""])
channels = st.sampled_from(["#ops", "#OPS", "#db", "#x", ""])
events = st.one_of(
    st.builds(":{}!u@h JOIN {} {}".format, nicks, channels, st.sampled_from(["acc", "*"])),
    st.builds(":{}!u@h PART {}".format, nicks, channels),
    st.builds(":{}!u@h QUIT :bye".format, nicks),
    st.builds(":{}!u@h NICK {}".format, nicks, nicks),
    st.builds(":{}!u@h ACCOUNT {}".format, nicks, st.sampled_from(["acc", "*"])),
    st.builds(":x!u@h KICK {} {}".format, channels, nicks),
    st.builds(":s 353 opsbot = {} :@{} {}".format, channels, nicks, nicks),
    st.builds(":s 354 opsbot 152 u h {} acc".format, nicks),
    st.builds(":s 005 opsbot CASEMAPPING={} :x".format, st.sampled_from(["ascii", "rfc1459"])),
    st.from_regex(r":\S* [A-Z0-9]{3,7} [^\r\n\0]*", fullmatch=True),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(events, max_size=40))
def test_whatever_comes_everybody_known_shares_a_channel_with_us(lines):
    found = Roster()
    found.reset("opsbot", CACHE_CAPS)
    for line in filter(None, map(parse, lines)):
        found.feed(line)
        for nick in ("alice", "bob", "carol", "opsbot"):
            person = found.person(nick)
            assert person is None or (person.channels and not person.has_quit)
            assert person is None or all(found.is_joined(channel) for channel in person.channels)
        if line.command == "QUIT":
            assert found.person(line.nick) is None
        if line.command == "ACCOUNT" and line.param(0) == "*":
            assert not account(found, line.nick)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=80))
def test_no_line_raises(raw):
    line = parse(b":a!b@c " + raw)
    if line is not None:
        roster().feed(line)


NICKSERV_ON = ":irc.test 730 opsbot :NickServ!s@services.test"
NICKSERV_OFF = ":irc.test 731 opsbot :nickserv"


def test_services_are_away_when_the_server_says_so():
    found = roster()
    for line, is_away in (
        (NICKSERV_OFF, False),  # never seen: this network may have none
        (NICKSERV_ON, False),
        (NICKSERV_OFF, True),
        (":irc.test 730 opsbot :alice!al@home", True),
        (NICKSERV_ON, False),
        (":irc.test CAP opsbot DEL :chghost sasl", True),
        (":irc.test CAP opsbot NEW :sasl=PLAIN", False),
        (":irc.test CAP opsbot DEL :chghost", False),
    ):
        tell(found, line)
        assert found.are_services_away is is_away, line
    found.reset("opsbot", set())
    tell(found, NICKSERV_OFF)  # gone while we were
    assert found.are_services_away


def test_a_person_is_known_by_number_whatever_the_nick():
    found = roster(CACHE_CAPS, ALICE, ":bob!b@home JOIN #ops * :Bob")
    number = found.person("alice").number
    tell(found, ":alice!al@home NICK al", ":al!al@home ACCOUNT carol")
    assert found.account_of(number) == "carol"
    tell(found, ":al!al@home ACCOUNT *")
    assert found.account_of(number) == ""
    tell(found, ":al!al@home QUIT", ALICE)
    assert found.account_of(number) is None
    assert found.account_of(0) is None
