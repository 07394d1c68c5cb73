"""A network: registration to farewell, over real sockets, with servers that fail."""

import asyncio
import base64
import errno
import logging
import random
import time

import pytest
import scramp

from ircops.call import Kind
from ircops.config import Address, Bot, Join, Secret
from ircops.errors import Refused
from ircops.irc.ends import Backoff, Banned, growth
from ircops.irc.sts import Policies
from tests.certificates import Authority
from tests.scripted_ircd import ScriptedIrcd, echo, eventually, running

HELLO = ":alice!al@home PRIVMSG #ops :!hello"
ANSWER = "PRIVMSG #ops :alice: hello"


def play(scene, **settings):
    """Run `scene(ircd, network)` with a network that connects to a scripted server."""

    async def stage():
        async with ScriptedIrcd() as ircd, running(ircd.network(**settings)) as network:
            await scene(ircd, network)

    asyncio.run(stage())


def test_it_connects_joins_answers_and_says_goodbye():
    async def stage():
        async with ScriptedIrcd() as ircd:
            async with running(ircd.network()) as network:
                bot = await ircd.accept()
                await bot.welcome(isupport="BOT=B WHOX")
                bot.send(HELLO)
                await bot.expect(ANSWER)
                assert network.is_joined("#OPS") and network.is_alive
                assert network.status.startswith(f"connected to {ircd.address}, lag ")
                stopping = asyncio.create_task(network.stop("so long"))
                await bot.expect("QUIT :so long")
                bot.send("ERROR :Closing link")
                bot.close()
                await stopping
            assert b"MODE opsbot +B\r\n" in bot.raw
            assert b"WHO #ops %tuhna,152\r\n" in bot.raw
            assert b"s3cret" not in bot.raw
            assert not ircd.has_arrivals

    asyncio.run(stage())


def test_no_bytes_of_the_server_end_the_connection_or_lose_the_line_beside_them():
    bad = [
        b"",
        b" ",
        b":",
        b"\xff\xfe",
        b":n!u@h QUIT",
        b"PING",
        b"PRIVMSG",
        b"PRIVMSG #ops",
        b"NICK x",
    ]
    bad += [
        b"001",
        b":s 353",
        b":s 353 a",
        b":s 005 a PREFIX=ov@+ SET=1 = :x",
        b"@ :",
        b":irc.test",
        b"@a=b",
    ]
    bad += [
        b":a!b@c KICK",
        b":a!b@c KICK #x",
        b"MODE",
        b":a!b@c MODE #ops +ooo",
        b"CAP",
        b"CAP * LS",
        b"JOIN",
    ]
    bad += [
        b"x" * 100_000,
        b"\0\0\0",
        b":opsbot!a@b JOIN",
        b"433",
        b"BATCH",
        b"ALL_EVENTS x",
        b"DISCONNECT x",
    ]

    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        dice = random.Random(7)
        for line in [*bad, *(dice.randbytes(60).replace(b"\n", b"") for _ in range(1000))]:
            bot.send(line)
        bot.send(":opsbot!ircops@bot.host JOIN #ops", HELLO)
        await bot.until(ANSWER)
        assert network.is_joined("#ops")

    play(scene)


def test_half_lines_and_many_lines_at_once_are_read():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        for byte in HELLO.encode() + b"\r\n":
            bot.send_bytes(bytes([byte]))
            await asyncio.sleep(0)
        bot.send_bytes(f"{HELLO}\n\r\n{HELLO}\r\n".encode())
        await bot.expect(ANSWER, ANSWER, ANSWER)

    play(scene)


def test_a_ping_is_answered_at_any_time():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.until("USER")
        bot.send("PING :a cookie")
        await bot.expect("PONG :a cookie")
        bot.send("PING 12345 67890")
        await bot.expect("PONG 12345")

    play(scene)


def test_it_logs_in_and_is_welcomed():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.expect("CAP LS 302", "NICK ops", "USER ...")
        bot.send(":irc.test CAP * LS * :account-tag", ":irc.test CAP * LS :sasl=PLAIN ")
        await bot.expect("CAP REQ :account-tag sasl")
        bot.send(":irc.test CAP * ACK :account-tag sasl ")
        await bot.expect("AUTHENTICATE PLAIN")
        bot.send("AUTHENTICATE :+")
        await bot.expect("AUTHENTICATE Ym90AGJvdABzM2NyZXQ=")
        bot.send(":irc.test 900 ops ops!a@b bot :You are now logged in", ":irc.test 903 ops :ok")
        await bot.expect("CAP END")

    login = {"sasl_username": "bot", "sasl_password": Secret("s3cret")}
    play(scene, bot=Bot(nick="ops"), **login)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (":irc.test 465 x :K-lined: flooding", "K-lined: flooding"),
        ("ERROR :(Z-lined: no)", "Z-lined: no"),
        (":irc.test 464 x :Password incorrect", "server_password"),
    ],
)
def test_a_server_that_will_not_have_us_ends_it(line, why):
    async def stage():
        async with ScriptedIrcd() as ircd:
            network = ircd.network()
            task = asyncio.create_task(network.run())
            bot = await ircd.accept()
            await bot.until("USER")
            bot.send(line)
            with pytest.raises(Refused, match=f"network test: .*{why}") as error:
                await asyncio.wait_for(task, 5)
            assert error.value.exit_code == 77
            assert network.is_alive and network.status.startswith("refused: ")
            await network.stop("bye")

    asyncio.run(stage())


def test_settings_that_cannot_be_said_are_refused():
    async def stage():
        async with ScriptedIrcd() as ircd:
            network = ircd.network(bot=Bot(username="two words"))
            with pytest.raises(Refused, match="USER cannot take 'two words'"):
                await asyncio.wait_for(network.run(), 5)

    asyncio.run(stage())


@pytest.mark.parametrize("end", ["close", "reset", "kill"])
def test_it_is_back_at_once_whatever_ended_the_connection(end):
    async def scene(ircd, network):
        for _ in range(2):
            bot = await ircd.accept()
            await bot.welcome()
            if end == "kill":
                bot.send("ERROR :Closing Link: opsbot (Killed (oper (bye)))")
            else:
                getattr(bot, end)()
        bot = await ircd.accept()
        await bot.welcome()
        bot.send(HELLO)
        await bot.until(ANSWER)

    play(scene)


@pytest.mark.parametrize("death", ["silent", "frozen"])
def test_a_dead_link_is_noticed_and_another_one_made(death, caplog):
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        if death == "silent":
            bot.is_silent = True
        else:
            bot.freeze()
        again = await ircd.accept()
        await again.welcome()
        assert "no word for 0 s" in caplog.text

    with caplog.at_level(logging.WARNING):
        play(scene, ping_interval=0.1, ping_timeout=0.2)


def test_a_server_that_answers_pings_is_kept():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        await eventually(lambda: bot.raw.count(b"PING ircops-lag-") > 4)
        assert not ircd.has_arrivals
        assert network.is_alive

    play(scene, ping_interval=0.02, ping_timeout=0.5)


def test_a_server_that_says_nothing_to_a_newcomer_is_left():
    async def scene(ircd, network):
        await ircd.accept()
        await ircd.accept()

    play(scene, connect_timeout=0.2)


def test_the_next_server_is_tried_when_one_does_not_answer():
    async def stage():
        async with ScriptedIrcd() as dead, ScriptedIrcd() as ircd:
            await dead.stop()
            servers = (dead.address, ircd.address)
            async with running(ircd.network(server=servers)) as network:
                await (await ircd.accept()).welcome()
                await eventually(lambda: network.status.startswith(f"connected to {ircd.address}"))

    asyncio.run(stage())


def test_why_there_is_no_connection_and_when_it_tries_again_is_said():
    async def stage():
        async with ScriptedIrcd() as ircd:
            await ircd.stop()
            async with running(ircd.network(reconnect_min=600, reconnect_max=1200)) as network:
                await eventually(lambda: "reconnecting in" in network.status)
                await eventually(lambda: not network.status.startswith("reconnecting in 0 s"))
                assert (
                    network.status.removeprefix("reconnecting in ").split(" s: ")[1]
                    == "connection refused"
                )
                assert 290 < float(network.status.split()[2]) < 601
                assert network.is_alive

    asyncio.run(stage())


def test_a_server_that_comes_back_is_found():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        await ircd.stop()
        bot.reset()
        await eventually(lambda: "refused" in network.status)
        await ircd.start(ircd.address.port)
        await (await ircd.accept()).welcome()

    play(scene, reconnect_max=0.1)


def test_the_ghost_keeps_the_nick_until_it_is_gone():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.expect("CAP LS 302", "NICK opsbot", "USER ...")
        bot.send(":irc.test CAP * LS :", ":irc.test 433 * opsbot :Nickname is already in use")
        await bot.expect("CAP END", "NICK opsbot_")
        bot.send(":irc.test 001 opsbot_ :Welcome", ":irc.test 422 opsbot_ :No MOTD")
        await bot.until("JOIN #ops")
        bot.let_in("#ops", "opsbot_")
        bot.send(":alice!al@home PRIVMSG #ops :opsbot_: hello")
        await bot.until(ANSWER)
        bot.send(":opsbot!ircops@bot.host QUIT :Ping timeout")
        await bot.until("NICK opsbot")
        bot.send(
            ":opsbot_!ircops@bot.host NICK opsbot", ":alice!al@home PRIVMSG #ops :opsbot: hello"
        )
        await bot.until(ANSWER)

    play(scene)


def test_a_kick_is_answered_by_coming_back():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.send(":op!o@h KICK #ops opsbot :out")
        await eventually(lambda: not network.is_joined("#ops"))
        await bot.until("JOIN #ops")
        bot.let_in("#ops")
        await eventually(lambda: network.is_joined("#ops"))

    play(scene)


def test_an_answer_survives_the_connection():
    async def stage():
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(call):
            asked.set()
            await may_answer.wait()
            await echo(call)

        async with ScriptedIrcd() as ircd, running(ircd.network(slow)) as network:
            bot = await ircd.accept()
            await bot.welcome()
            bot.send(HELLO)
            await asked.wait()
            bot.reset()
            bot = await ircd.accept()
            may_answer.set()
            network.outlet("#OPS").write(Kind.REPORT, "a report")
            await bot.welcome()
            await bot.expect("NOTICE #ops :a report", ANSWER)

    asyncio.run(stage())


def test_new_settings_join_and_leave_channels():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        network.reload(ircd.settings(channels=("#new",), bot=Bot(prefix="%")))
        await bot.expect("PART #ops", "JOIN #new")
        bot.send(":opsbot!ircops@bot.host PART #ops")
        bot.let_in("#new")
        bot.send(":alice!al@home PRIVMSG #ops :%hello", ":alice!al@home PRIVMSG #new :%hello")
        await bot.until("PRIVMSG #new :alice: hello")

    play(scene)


def test_what_waits_leaves_before_the_farewell():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        outlet = network.outlet("#ops")
        for number in range(40):
            outlet.write(Kind.ERROR, f"line {number}")
        stopping = asyncio.create_task(network.stop("bye"))
        quit_line, before = await bot.until("QUIT")
        assert [line for line in before if "NOTICE" in line][-1] == "NOTICE #ops :line 39"
        assert quit_line == "QUIT bye"
        bot.close()
        await stopping

    play(scene)


def test_a_server_that_does_not_let_go_is_left_after_two_seconds():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.is_silent = True
        began = asyncio.get_running_loop().time()
        await network.stop("bye")
        assert 1.9 < asyncio.get_running_loop().time() - began < 4

    play(scene)


@pytest.mark.parametrize("phase", ["connecting", "registering", "waiting"])
def test_it_can_be_stopped_at_any_time(phase):
    async def stage():
        async with ScriptedIrcd() as ircd:
            if phase == "waiting":
                await ircd.stop()
            async with running(ircd.network(reconnect_min=600, reconnect_max=600)) as network:
                if phase == "registering":
                    await (await ircd.accept()).until("USER")
                if phase == "waiting":
                    await eventually(lambda: "refused" in network.status)

    asyncio.run(asyncio.wait_for(stage(), 5))


def test_it_can_be_stopped_before_it_has_run():
    async def stage():
        async with ScriptedIrcd() as ircd:
            network = ircd.network(server=(Address("127.0.0.1", 1),))
            assert network.is_alive and network.status == "not started"
            await network.stop("bye")

    asyncio.run(stage())


def test_channel_keys_are_used():
    async def scene(ircd, network):
        network.reload(ircd.settings(channels=(Join("#secret", Secret("key")),)))
        await (await ircd.accept()).welcome(joins=("#secret key",))

    play(scene)


def test_the_first_try_is_at_once_and_then_ever_later_until_it_worked():
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.next(0.25, 60) for _ in range(6)] == [0, 0.25, 0.5, 1, 2, 4]
    assert [backoff.next(0.25, 60) for _ in range(100)][-1] == 60
    backoff.reset()
    assert backoff.next(0.25, 60) == 0
    refused = growth(ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens"))
    both = "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect …"
    assert growth(OSError(both)) == refused
    assert growth(OSError(both.replace("111", "113", 1))) == 2
    assert growth(OSError(errno.ETIMEDOUT, "silence")) == growth(Banned("go away")) == 2
    backoff.reset()
    assert 1 < refused < 1.25  # a tenth of the time it has been away
    waits = [backoff.next(1, 1.2, growth=refused) for _ in range(4)]
    assert waits == pytest.approx([0, 1, 1.1, 1.2])
    lucky = Backoff(jitter=lambda: 0.0)
    assert [lucky.next(0.25, 60) for _ in range(3)] == [0, 0.125, 0.25]
    backoff = Backoff(jitter=lambda: 0.0)
    waits = [backoff.next(0.25, 60, patience) for patience in (15, 15, 0, 15, 300)]
    assert waits == [15, 30, 0.25, 60, 2400]
    assert [backoff.next(0.25, 60, 300) for _ in range(20)][-1] == 3600


@pytest.mark.parametrize(
    ("line", "least"),
    [
        ("ERROR :Closing Link: x (Throttled: Reconnecting too fast)", 15),
        ("ERROR :Closing link: (ircops@bot.host) [K-lined: flooding]", 300),
    ],
)
def test_a_server_that_has_had_enough_is_given_time(line, least):
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.send(line)
        await eventually(lambda: "reconnecting in" in network.status)
        wait = network._planned - asyncio.get_running_loop().time()  # the status is rounded
        assert least - 2 < wait <= least * 1.25
        assert network.is_alive and not ircd.has_arrivals

    play(scene)


def test_a_ban_after_a_welcome_is_no_end(monkeypatch):
    monkeypatch.setattr(Banned, "patience", 0.01)

    async def scene(ircd, network):
        await (await ircd.accept()).welcome()
        bot = ircd._connections[0]
        bot.send("ERROR :Closing link: (ircops@bot.host) [K-lined: 5 minutes]")
        for _ in range(3):
            bot = await ircd.accept()
            await bot.until("USER")
            bot.send(":irc.test 465 opsbot :You are banned from this server")
        await (await ircd.accept()).welcome()

    play(scene)


def test_a_refusal_where_the_same_settings_have_worked_is_no_end():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.close()
        bot = await ircd.accept()
        await bot.until("USER")
        bot.send(":irc.test 464 opsbot :Password incorrect")
        await eventually(lambda: "refuses the password" in network.status)
        assert 58 < float(network.status.split()[2]) <= 75
        assert network.is_alive

    play(scene)


def test_a_connection_that_did_not_last_does_not_reset_the_back_off():
    async def scene(ircd, network):
        for _ in range(3):
            bot = await ircd.accept()
            await bot.welcome()
            bot.close()
        await eventually(lambda: "reconnecting in" in network.status)
        assert float(network.status.split()[2]) > 1

    play(scene, reconnect_min=2, reconnect_max=9, ping_interval=60)


class TestSts:
    """A server that wants TLS."""

    def play(self, scene, tmp_path):
        """Run `scene(clear, secure, network)`; `clear` is the server that the settings name."""
        authority = Authority(tmp_path)

        async def stage():
            async with ScriptedIrcd() as clear, ScriptedIrcd(authority.context()) as secure:
                settings = {"tls_ca_file": authority.ca, "bot": Bot(state=tmp_path)}
                async with running(clear.network(**settings)) as network:
                    await scene(clear, secure, network)

        asyncio.run(stage())

    async def advertise(self, clear, secure):
        bot = await clear.accept()
        await bot.expect("CAP LS 302")
        bot.send(f":irc.test CAP * LS * :sasl sts=duration=1,port={secure.address.port}")
        assert "CAP REQ" not in " ".join(await bot.ended())

    def test_it_goes_over_to_tls_before_anything_is_said_and_stays_there(self, tmp_path):
        async def scene(clear, secure, network):
            await self.advertise(clear, secure)
            bot = await secure.accept()
            await bot.expect("CAP LS 302", "NICK ...", "USER ...")
            bot.send(":irc.test CAP * LS :sts=duration=9999,port=1")
            await bot.expect("CAP END")
            bot.send(":irc.test 001 opsbot :Welcome", ":irc.test 376 opsbot :End")
            await bot.until("JOIN #ops")
            assert network.status.startswith(f"connected to {secure.address}")
            bot.close()
            await (await secure.accept()).welcome()  # at once, and again with each reconnect
            assert not clear.has_arrivals

        self.play(scene, tmp_path)

    def test_a_policy_outlives_the_bot(self, tmp_path):
        async def scene(clear, secure, network):
            await self.advertise(clear, secure)
            bot = await secure.accept()
            bot.send(":irc.test CAP * LS :sts=duration=9999")
            await bot.until("CAP END")
            await network.stop("bye")
            again = clear.network(tls_ca_file=tmp_path / "ca.pem", bot=Bot(state=tmp_path))
            async with running(again):
                await (await secure.accept()).welcome()
                assert not clear.has_arrivals

        self.play(scene, tmp_path)

    def test_a_certificate_that_is_not_trusted_is_no_reason_to_go_without(self, tmp_path):
        async def stage():
            authority = Authority(tmp_path)
            async with ScriptedIrcd() as clear, ScriptedIrcd(authority.context()) as secure:
                network = clear.network(bot=Bot(state=tmp_path), reconnect_min=60)
                policies = Policies(tmp_path / "sts.json", time.time)
                policies.learn(secure.address, 9999)
                async with running(network):
                    await eventually(lambda: "certificate not trusted" in network.status)
                    assert not clear.has_arrivals

        asyncio.run(stage())


def test_services_that_come_back_are_logged_in_to_over_a_live_connection():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.send(":irc.test CAP opsbot NEW :sasl=PLAIN")
        await bot.expect("CAP REQ sasl")
        bot.send(":irc.test CAP opsbot ACK :sasl")
        await bot.expect("AUTHENTICATE PLAIN")
        bot.send("AUTHENTICATE +")
        await bot.expect("AUTHENTICATE Ym90AGJvdABzM2NyZXQ=")
        bot.send(":irc.test 903 opsbot :ok", HELLO)
        await bot.expect(ANSWER)

    login = {"sasl_username": "bot", "sasl_password": Secret("s3cret")}
    play(scene, sasl_required=False, **login)


def test_a_megabyte_without_an_end_costs_one_line():
    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        bot.send_bytes(b"x" * 1_000_000)
        bot.send("", HELLO)
        await bot.expect(ANSWER)

    play(scene)


@pytest.mark.parametrize("is_honest", [True, False])
def test_scram_lets_nobody_in_who_does_not_know_the_password(is_honest, caplog):
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    known = mechanism.make_auth_info("s3cret")

    def decoded(line):
        return base64.b64decode(line.removeprefix("AUTHENTICATE ")).decode()

    def challenge(text):
        return f"AUTHENTICATE {base64.b64encode(text.encode()).decode()}"

    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.until("USER")
        bot.send(":irc.test CAP * LS :sasl=SCRAM-SHA-256")
        await bot.expect("CAP REQ sasl")
        bot.send(":irc.test CAP * ACK :sasl")
        await bot.expect("AUTHENTICATE SCRAM-SHA-256")
        bot.send("AUTHENTICATE +")
        server = mechanism.make_server(lambda name: known)
        server.set_client_first(decoded(await bot.line()))
        bot.send(challenge(server.get_server_first()))
        server.set_client_final(decoded(await bot.line()))
        proof = server.get_server_final()
        bot.send(challenge(proof if is_honest else "v=" + proof[:1:-1]))
        if is_honest:
            await bot.expect("AUTHENTICATE +")
            bot.send(":irc.test 903 opsbot :ok")
            await bot.expect("CAP END")
        else:
            await bot.expect("AUTHENTICATE *")
            bot.send(":irc.test 906 opsbot :aborted")
            assert await bot.ended() == []
            assert "could not prove that they know our password" in caplog.text
        assert b"s3cret" not in bot.raw

    login = {"sasl_username": "bot", "sasl_password": Secret("s3cret")}
    play(scene, sasl_mechanism="SCRAM-SHA-256", sasl_required=False, **login)


WORDS = b"""PRIVMSG NOTICE JOIN PART KICK MODE NICK QUIT TOPIC CAP LS NEW DEL ACK NAK AUTHENTICATE ACCOUNT CHGHOST
001 005 324 332 352 353 354 366 396 404 433 437 471 900 901 903 904 BATCH TAGMSG INVITE SETNAME FAIL PONG PING
:irc.test :alice!al@home :opsbot!ircops@bot.host : :: #ops #OPS opsbot alice * = + - +o +Hblk @alice ~&@%+bob
@account=alice @time=2026-01-01T00:00:00.000Z @batch=x;msgid=\\ @ ;;; sasl account-tag sts=duration=1 PREFIX=(ov)@+
CHANMODES=b,k,l, CASEMAPPING=ascii -WHOX LINELEN=0 NICKLEN=99999999999 152 !load \x01ACTION \x02\x0304,99 \xff\xfe
\xe2\x82 \xf0\x9f\x92\xa9 \x00 \r""".split()


@pytest.mark.slow
def test_a_hundred_thousand_lines_of_nonsense_end_nothing(caplog):
    """Every line has a fair chance to look like one of the protocol; only those that may end it are left out."""

    async def scene(ircd, network):
        bot = await ircd.accept()
        await bot.welcome()
        dice = random.Random(13)
        for _ in range(100):
            lines = []
            for _ in range(1000):
                line = b" ".join(dice.choices(WORDS, k=dice.randint(0, 7)))
                if not dice.randrange(4):
                    line = line[: dice.randrange(len(line) + 1)] + dice.randbytes(3)
                lines.append(line.replace(b"\n", b""))
            bot.send_bytes(b"\r\n".join([*lines, b"PING %d\r\n" % (token := dice.getrandbits(40))]))
            await bot.until(f"PONG {token}")
        assert network.status.startswith("connected")
        assert "left a line of the server alone" not in caplog.text  # nothing raised

    play(scene, sasl_required=False)
