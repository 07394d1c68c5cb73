"""The bot's IRC side against real servers: InspIRCd with services over TLS, and plain ngIRCd."""

import asyncio
import contextlib
import re

import pytest

from ircops.call import Kind
from ircops.config import Bot, Join, Network, Secret, Settings
from ircops.errors import Refused
from ircops.irc import Network as IrcNetwork
from tests.scripted_ircd import eventually, running

pytest_plugins = ["tests.real.ircds"]

LATIN_1 = b"PRIVMSG #ops :caf\xe9 \xff\xfe"
CUT = (
    "PRIVMSG #ops :x" + "é" * 247
)  # with alice's prefix, the server cuts it in the middle of a character
TOO_LONG = "PRIVMSG #ops :" + "é" * 300  # ngIRCd hangs up on who sends it


class Bed:
    """A bot in #ops that echoes, and the calls it got."""

    def __init__(self, address, **network):
        self.calls = []
        network = {"tls": False, "reconnect_min": 0.1, **network}
        channels = (Join("#ops"),)
        test = Network(server=(address,), channels=channels, **network)
        self.settings = Settings(bot=Bot(), networks={"test": test})

    async def _handle(self, call):
        self.calls.append(call)
        call.reply.say(call.line)
        call.reply.finish()

    @contextlib.asynccontextmanager
    async def bot(self):
        network = IrcNetwork("test", self.settings, self._handle)
        async with running(network):
            await eventually(lambda: network.is_joined("#ops"))
            yield network


def plain(ircd):
    return Bed(ircd.address)


def secure(ircd, password="s3cret", **network):
    login = {"sasl_username": "opsbot", "sasl_password": Secret(password)}
    return Bed(ircd.tls_address, tls=True, tls_ca_file=ircd.ca, **login, **network)


async def ask(person, text):
    """Say a command and wait for its echo, which names the person."""
    await person.say(f"PRIVMSG #ops :!{text}")
    return await person.hears(f"{person.nick}: {text}")


def test_the_account_of_the_very_line_counts_over_tls_with_our_own_ca(inspircd):
    async def scene():
        bed = secure(inspircd)
        async with bed.bot() as network, inspircd.person("alice", "alicepw") as alice:
            assert network.status.startswith("connected to localhost:")
            await alice.join("#ops")
            await ask(alice, "one")
            await alice.say("PRIVMSG NickServ :LOGOUT")
            await alice.until("901")
            await ask(alice, "two")
            await alice.say("PRIVMSG NickServ :IDENTIFY alice alicepw")
            await alice.until("900")
            await ask(alice, "three")
            await alice.say("NICK alice_away")
            alice.nick = "alice_away"
            async with inspircd.person("alice") as thief:
                await thief.join("#ops")
                await ask(thief, "four")
            await ask(alice, "five")
        senders = [call.sender for call in bed.calls]
        assert [sender.account for sender in senders] == ["alice", "", "alice", "", "alice"]
        assert [sender.evidence for sender in senders] == [
            "account-tag",
            "",
            "account-tag",
            "",
            "account-tag",
        ]
        assert all(
            sender.in_channel and call.message_id
            for sender, call in zip(senders, bed.calls, strict=True)
        )
        assert re.fullmatch(r"alice!alice@\S+", senders[0].mask)

    asyncio.run(scene())


def test_the_bot_is_logged_in_and_says_that_it_is_one(inspircd):
    async def scene():
        async with secure(inspircd).bot(), inspircd.person("bob") as bob:
            await bob.say("WHOIS opsbot")
            whois = [await bob.line()]
            while " 318 " not in whois[-1]:
                whois.append(await bob.line())
            assert any(" 330 bob opsbot opsbot " in line for line in whois)
            assert any(" 335 bob opsbot " in line for line in whois)

    asyncio.run(scene())


def test_a_wrong_password_is_refused_for_good(inspircd):
    async def scene():
        network = IrcNetwork("test", secure(inspircd, password="wrong").settings, print)
        with pytest.raises(Refused, match="check sasl_username and sasl_password"):
            await asyncio.wait_for(network.run(), 20)

    asyncio.run(scene())


def test_a_login_that_is_needed_is_not_done_without_where_there_are_no_services(ngircd):
    async def scene():
        login = {"sasl_username": "opsbot", "sasl_password": Secret("s3cret")}
        network = IrcNetwork(
            "test", Bed(ngircd.address, reconnect_max=0.1, **login).settings, print
        )
        async with running(network):
            await eventually(lambda: "no login" in network.status)
            assert not network.is_joined("#ops")

    asyncio.run(scene())


def test_in_private_it_answers_in_private(inspircd):
    async def scene():
        bed = secure(inspircd)
        async with bed.bot(), inspircd.person("bob", "bobpw") as bob:
            await bob.say("PRIVMSG opsbot :hello")
            line = await bob.hears("hello")
            assert " PRIVMSG bob " in line
        assert (bed.calls[0].where, bed.calls[0].sender.account) == ("", "bob")
        assert not bed.calls[0].sender.in_channel

    asyncio.run(scene())


def test_history_that_is_played_again_is_not_acted_on(inspircd):
    async def scene():
        async with inspircd.person("alice", "alicepw") as alice:
            await alice.join("#ops")
            await alice.say("MODE #ops +H 10:3600", "PRIVMSG #ops :!old", "PING :done")
            await alice.until("MODE #ops +H")
            await alice.until("PONG")
            bed = secure(inspircd)
            async with bed.bot(), inspircd.person("bob") as bob:
                await bob.say("JOIN #ops")
                await bob.hears("!old")  # to newcomers it is played again
                await ask(alice, "new")
        assert [call.line for call in bed.calls] == ["new"]

    asyncio.run(scene())


def test_where_colours_are_blocked_answers_come_without(inspircd):
    async def scene():
        async with inspircd.person("alice", "alicepw") as alice:
            await alice.join("#ops")
            await alice.say("MODE #ops +c")
            async with secure(inspircd).bot() as network:
                outlet = network.outlet("#ops")
                await ask(alice, "ready")  # the modes are asked for at the join
                outlet.write(Kind.REPORT, "\x1b[31mred\x1b[0m alert")
                await alice.until("NOTICE #ops :red alert")

    asyncio.run(scene())


@pytest.fixture(params=["ngircd", "inspircd"])
def ircd(request):
    return request.getfixturevalue(request.param)


def test_a_server_without_services_gives_a_mask_and_no_account(ngircd):
    async def scene():
        bed = plain(ngircd)
        async with bed.bot(), ngircd.person("alice") as alice:
            await alice.join("#ops")
            await ask(alice, "hello")
        sender = bed.calls[0].sender
        assert (sender.account, sender.evidence, sender.in_channel) == ("", "", True)
        assert re.fullmatch(r"alice!~?alice@\S+", sender.mask)

    asyncio.run(scene())


def test_bytes_that_are_no_utf_8_and_lines_cut_in_a_character_do_no_harm(ircd):
    async def scene():
        async with (
            plain(ircd).bot() as network,
            ircd.person("alice") as alice,
            ircd.person("bob") as bob,
        ):
            await bob.join("#ops")
            await alice.join("#ops")
            await alice.say(LATIN_1, CUT)
            await bob.hears("xéééééé")
            await bob.say(TOO_LONG)
            await ask(alice, "hello")
            assert network.status.startswith("connected")

    asyncio.run(scene())


def test_long_answers_arrive_whole(ircd):
    async def scene():
        async with plain(ircd).bot() as network, ircd.person("alice") as alice:
            await alice.join("#ops")
            await ask(alice, "hello")
            for text in ("x" * 1500, "é" * 700, "€uro " * 250):
                network.outlet("#ops").write(Kind.ERROR, text)
                heard, whole = "", text.replace(" ", "")
                while len(heard) < len(whole):
                    line = await alice.until("NOTICE #ops")
                    heard += line.partition("NOTICE #ops :")[2].replace(" ", "")
                assert heard == whole

    asyncio.run(scene())


def test_kicked_it_comes_back(ircd):
    async def scene():
        async with ircd.person("alice") as alice:
            await alice.join("#ops")
            async with plain(ircd).bot():
                await alice.until("JOIN", "#ops")
                await alice.say("KICK #ops opsbot :out")
                await alice.until("KICK #ops opsbot")
                await alice.until("JOIN", "#ops")
                await ask(alice, "hello")

    asyncio.run(scene())


def test_killed_it_connects_again(ircd):
    async def scene():
        async with plain(ircd).bot() as network, ircd.person("oper", oper=True) as oper:
            await oper.join("#ops")
            await oper.say("KILL opsbot :banned idiot")
            await oper.until("QUIT")
            await oper.until("JOIN", "#ops")
            await ask(oper, "hello")
            assert network.status.startswith("connected")

    asyncio.run(scene())


def test_its_nick_is_taken_back_when_the_holder_goes(ircd):
    async def scene():
        async with ircd.person("opsbot") as holder:
            await holder.join("#ops")
            async with plain(ircd).bot(), ircd.person("alice") as alice:
                await alice.join("#ops")
                await alice.say("PRIVMSG #ops :opsbot_: hello")
                await alice.hears("alice: hello")
                await holder.say("QUIT")
                await alice.until("opsbot_", "NICK", "opsbot")
                await alice.say("PRIVMSG #ops :opsbot: hello again")
                await alice.hears("alice: hello again")

    asyncio.run(scene())


def test_thousands_of_lines_with_commands_in_between_are_answered_in_order(ircd):
    async def scene():
        bed = plain(ircd)
        async with bed.bot(), ircd.person("alice") as alice, ircd.person("bob") as bob:
            await alice.join("#ops")
            await bob.join("#ops")
            for number in range(20):
                await bob.say(*["PRIVMSG #ops :chatter"] * 50)
                await alice.say(f"PRIVMSG #ops :!number {number}")
            for number in range(20):
                await alice.hears(f"alice: number {number}")
        assert [call.line for call in bed.calls] == [f"number {number}" for number in range(20)]

    asyncio.run(scene())
