"""A hundred thousand lines that make no sense, over a real socket: the bot stays, answers, and keeps its size."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path

import pytest

from tests.scripted_ircd import Connection, ScriptedIrcd, running

LINES = 100_000
BURST = 5_000  # lines between two calls
GROWTH = 16  # MiB that may stay

REAL = [
    b":irc.test 001 opsbot :Welcome opsbot!ircops@bot.host",
    b":irc.test 005 opsbot CHANTYPES=# PREFIX=(ov)@+ CASEMAPPING=rfc1459 :are supported by this server",
    b":irc.test 353 opsbot = #ops :opsbot @alice!al@home",
    b":irc.test 354 opsbot 152 #ops al home alice H@ alice :Alice",
    b":irc.test 433 opsbot opsbot :Nickname is already in use",
    b":irc.test 900 opsbot opsbot!a@b opsbot :You are now logged in",
    b":irc.test CAP * LS * :sasl=PLAIN message-tags",
    b"@time=2026-11-22T09:00:00.000Z;account=alice;msgid=a :alice!al@home PRIVMSG #ops :hello",
    b":alice!al@home JOIN #ops alice :Alice",
    b":alice!al@home NICK alicia",
    b":bob!b@home MODE #ops +ov alice opsbot",
    b":bob!b@home CHGHOST b2 home2",
    b":irc.test BATCH +a chathistory #ops",
    b"AUTHENTICATE +",
    b"PING :irc.test",
]
# What ends a connection, or a stay in the channel, by right is not what this is about.
MEANT = (b"ERROR", b"KILL", b"KICK", b"PART", b"QUIT", b" 001", b" 376", b" 422", b"opsbot")


def nonsense(chance: random.Random) -> bytes:
    """Random bytes, or a real line with some of its bytes changed, cut out or put in twice."""
    if chance.random() < 0.4:
        line = bytearray(chance.randbytes(chance.randrange(80)))
    else:
        line = bytearray(chance.choice(REAL))
        for _ in range(chance.randrange(1, 8)):
            at = chance.randrange(len(line) or 1)
            end = at + chance.randrange(4)
            line[at:end] = chance.choice([b"", line[at:end] * 2, chance.randbytes(2), b" :", b";="])
    line = line.replace(b"\n", b"\r")
    return bytes(b"" if any(word in line.upper() for word in map(bytes.upper, MEANT)) else line)


def resident() -> int:
    """MiB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


async def said(connection: Connection, text: str) -> None:
    """Wait until the bot says it; fails if the connection ends before."""
    while not (line := await connection.line() or "").endswith(text):
        assert line, f"the connection ended before {text!r}"


@pytest.mark.slow
def test_a_hundred_thousand_bad_lines_end_nothing_and_every_call_is_answered(caplog) -> None:
    caplog.set_level(logging.CRITICAL)  # the log of what was left alone is not what grows here
    chance = random.Random(3)
    sizes: list[int] = []

    async def scene() -> None:
        async with ScriptedIrcd() as ircd, running(ircd.network(ping_interval=60)):
            connection = await ircd.accept()
            await connection.welcome()
            for burst in range(LINES // BURST):
                connection.send(*(nonsense(chance) for _ in range(BURST)))
                connection.send(":irc.test CAP * LS :")  # whatever it began, it ends
                connection.send(f":carol!c@home PRIVMSG #ops :!echo {burst}")
                await said(connection, f"echo {burst}")
                sizes.append(resident())
            assert not ircd.has_arrivals  # it never had to come back

    asyncio.run(scene())
    assert sizes[-1] - sizes[1] < GROWTH
