"""A network: registration to farewell, over real sockets, with servers that fail."""

import asyncio
import logging
import random

import pytest

from ircops.call import Kind
from ircops.config import Address, Bot, Join, Secret
from ircops.errors import Refused
from ircops.irc.network import Backoff
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
    lucky = Backoff(jitter=lambda: 0.0)
    assert [lucky.next(0.25, 60) for _ in range(3)] == [0, 0.125, 0.25]
