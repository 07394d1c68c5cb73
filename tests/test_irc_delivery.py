"""Delivery end to end, over real sockets with a scripted server: echoes, tags, typing, messages of many lines."""

import asyncio
from dataclasses import replace

import pytest

from ircops.config import Channel
from ircops.irc import busy
from tests.scripted_ircd import ScriptedIrcd, echo, eventually, running

ASKED = "@msgid=m1;account=A :alice!al@home PRIVMSG #ops :!"
ASKED_BY_NAME = "@msgid=m1;account=A :alice!al@home PRIVMSG #ops :opsbot: "
TAGS = "message-tags batch account-tag"


def play(scene, handle=None, **settings):
    """Run `scene(ircd, network)` with a network that connects to a scripted server."""

    async def stage():
        async with ScriptedIrcd() as ircd, running(ircd.network(handle, **settings)) as network:
            await scene(ircd, network)

    asyncio.run(stage())


async def many(call):
    """Answer with as many lines as was asked for."""
    call.reply.say("\n".join(f"line {number}" for number in range(int(call.line))))
    call.reply.finish()


class TestReconnect:
    def test_what_was_written_and_not_confirmed_is_said_again(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome()
            bot.is_silent = True
            bot.send(ASKED + "hello")
            await bot.expect("PRIVMSG #ops :alice: hello")
            bot.reset()
            bot = await ircd.accept()
            await bot.welcome()
            await bot.expect("PRIVMSG #ops :alice: hello")

        play(scene)

    def test_what_the_server_has_echoed_is_not(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps="echo-message")
            bot.is_silent = True
            bot.send(ASKED + "one", ASKED + "two")
            await bot.expect("PRIVMSG #ops :alice: one", "PRIVMSG #ops :alice: two")
            bot.send(":opsbot!ircops@bot.host PRIVMSG #ops :alice: one")
            bot.send("PING :read")
            await bot.expect("PONG read")
            bot.reset()
            bot = await ircd.accept()
            await bot.welcome(caps="echo-message")
            await bot.expect("PRIVMSG #ops :alice: two")
            bot.send(ASKED + "three")
            await bot.expect("PRIVMSG #ops :alice: three")

        play(scene)

    def test_a_long_answer_comes_whole_however_often_the_connection_breaks(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps="echo-message")
            network.reload(replace(ircd.settings(), channels={"#ops": Channel(lines=100)}))
            bot.send(ASKED_BY_NAME + "60")
            heard = []
            while len(heard) < 60:
                for _ in range(min(7, 60 - len(heard))):
                    line, _ = await bot.until("PRIVMSG")
                    heard.append(line.partition("PRIVMSG #ops :")[2])
                    bot.send(f":opsbot!ircops@bot.host {line}")
                bot.send("PING :read")
                await bot.until("PONG read")
                bot.reset()
                bot = await ircd.accept()
                await bot.welcome(caps="echo-message")
            texts = [text.removeprefix("alice: ") for text in heard]
            assert texts == [f"line {number}" for number in range(60)]

        play(scene, many)


class TestTags:
    def test_an_answer_points_to_what_asked_for_it(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=TAGS)
            bot.send(ASKED_BY_NAME + "2")
            await bot.expect("@+draft/reply=m1 PRIVMSG #ops :alice: line 0")
            await bot.expect("PRIVMSG #ops :line 1")

        play(scene, many)

    @pytest.mark.parametrize(
        ("caps", "isupport"),
        [("batch", "CHANTYPES=#"), (TAGS, "CLIENTTAGDENY=*"), (TAGS, "CLIENTTAGDENY=draft/reply")],
    )
    def test_no_tag_is_sent_where_it_is_not_let_through(self, caps, isupport):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=caps, isupport=isupport)
            bot.send(ASKED + "hello")
            await bot.expect("PRIVMSG #ops :alice: hello")

        play(scene)

    def test_a_tag_may_be_the_exception(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=TAGS, isupport="CLIENTTAGDENY=*,-draft/reply")
            bot.send(ASKED + "hello")
            await bot.expect("@+draft/reply=m1 PRIVMSG #ops :alice: hello")

        play(scene)


class TestTyping:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch):
        monkeypatch.setattr(busy, "FIRST", 0.01)
        monkeypatch.setattr(busy, "AGAIN", 0.2)

    def test_it_is_shown_while_a_job_runs_and_until_its_answer(self):
        may_answer = asyncio.Event()

        async def slow(call):
            call.reply.is_working = True
            await may_answer.wait()
            await echo(call)

        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=f"{TAGS} echo-message", isupport="CLIENTTAGDENY=*,-typing")
            bot.send(ASKED + "hello")
            for _ in range(2):
                await bot.until("@+typing=active TAGMSG #ops")
                bot.send(":opsbot!ircops@bot.host TAGMSG #ops")
            may_answer.set()
            await bot.expect("PRIVMSG #ops :alice: hello")
            bot.send("PING :no more")
            await bot.expect("PONG :no more")

        play(scene, slow)

    def test_the_end_is_shown_where_nothing_was_said(self):
        async def mute(call):
            call.reply.is_working = True
            await asyncio.sleep(0.1)

        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=TAGS)
            bot.send(ASKED + "hello")
            await bot.expect("@+typing=active TAGMSG #ops", "@+typing=done TAGMSG #ops")

        play(scene, mute)

    def test_who_is_asked_something_is_not_shown_that_we_work(self):
        async def waits(call):
            await asyncio.sleep(0.1)  # for an approval
            await echo(call)

        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=TAGS)
            bot.send(ASKED + "hello")
            await bot.expect("@+draft/reply=m1 PRIVMSG #ops :alice: hello")

        play(scene, waits)


class TestMultiline:
    CAPS = f"{TAGS} echo-message draft/multiline=max-bytes=40,max-lines=4"

    def test_a_long_answer_is_one_message_within_the_limits(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=self.CAPS)
            bot.send(ASKED_BY_NAME + "5")
            batch = await bot.expect("@+draft/reply=m1 BATCH +... draft/multiline #ops")
            name = batch.split()[2][1:]
            await bot.expect(
                f"@batch={name} PRIVMSG #ops :alice: line 0",
                *(f"@batch={name} PRIVMSG #ops :line {number}" for number in (1, 2, 3)),
                f"BATCH -{name}",
            )
            bot.send(
                ":opsbot!i@h BATCH +9 draft/multiline #ops",
                "@batch=9 :opsbot!i@h PRIVMSG #ops :line 3",
                ":opsbot!i@h BATCH -9",
            )
            await bot.expect("PRIVMSG #ops :line 4")

        play(scene, many)

    def test_a_message_of_many_lines_that_was_echoed_is_not_said_again(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=self.CAPS)
            bot.send(ASKED_BY_NAME + "2")
            await bot.until("BATCH -")
            bot.send(
                ":opsbot!i@h BATCH +9 draft/multiline #ops",
                "@batch=9 :opsbot!i@h PRIVMSG #ops :alice: line 0",
                "@batch=9 :opsbot!i@h PRIVMSG #ops :line 1",
                ":opsbot!i@h BATCH -9",
                "PING :read",
            )
            await bot.expect("PONG read")
            bot.reset()
            bot = await ircd.accept()
            await bot.welcome(caps=self.CAPS)
            bot.send(ASKED_BY_NAME + "1")
            await bot.expect("@+draft/reply=m1 PRIVMSG #ops :alice: line 0")

        play(scene, many)

    def test_what_people_say_in_many_lines_is_heard_with_the_account_of_the_whole(self):
        accounts = []

        async def hear(call):
            accounts.append((call.line, call.sender.account, call.message_id))

        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=self.CAPS)
            bot.send(
                "@msgid=m7;account=A :alice!al@home BATCH +1 draft/multiline #ops",
                "@batch=1 :alice!al@home PRIVMSG #ops :!load",
                "@batch=1;draft/multiline-concat :alice!al@home PRIVMSG #ops : @web",
                "@batch=1 :alice!al@home PRIVMSG #ops :!disk",
                ":alice!al@home PRIVMSG #ops :!mem",
                "@batch=1 :eve!e@h PRIVMSG #ops :!run",
                ":alice!al@home BATCH -1",
            )
            await eventually(lambda: len(accounts) == 3)
            assert accounts == [("mem", "", ""), ("load @web", "A", "m7"), ("disk", "A", "m7")]

        play(scene, hear)

    def test_one_inside_of_history_is_history(self):
        async def scene(ircd, network):
            bot = await ircd.accept()
            await bot.welcome(caps=self.CAPS)
            bot.send(
                "BATCH +h chathistory #ops",
                "@batch=h :alice!al@home BATCH +1 draft/multiline #ops",
                "@batch=1 :alice!al@home PRIVMSG #ops :!old",
                ":alice!al@home BATCH -1",
                "BATCH -h",
                ":alice!al@home PRIVMSG #ops :!new",
            )
            await bot.expect("PRIVMSG #ops :alice: new")

        play(scene)
