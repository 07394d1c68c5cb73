"""Fifty connections that break, each in its own way, while people keep asking: no answer goes missing."""

from __future__ import annotations

import asyncio
import itertools
import random
import re

import pytest

from ircops.call import Call
from tests.scripted_ircd import Connection, ScriptedIrcd, echo, running

CUTS = 50
ASKED = 6  # calls in each connection; the cut comes after some of them
ENDINGS = ("reset", "close", "half a line", "silence")


@pytest.mark.slow
def test_after_fifty_cuts_every_answer_has_come(caplog) -> None:
    chance = random.Random(5)
    numbers = itertools.count()
    taken: set[str] = set()  # the calls that reached the bot
    raw: list[Connection] = []

    async def answer(call: Call) -> None:
        taken.add(call.line)
        await echo(call)

    def ask(connection: Connection) -> str:
        line = f"answer {next(numbers)}."
        connection.send(f":alice!al@home PRIVMSG #ops :!{line}")
        return line

    async def hear(connection: Connection, what: str = "answer ") -> None:
        while what not in (line := await connection.line() or ""):
            assert line, "the connection ended by itself"

    async def scene() -> None:
        # silence is noticed within half a second
        quick = {"ping_interval": 0.3, "ping_timeout": 0.2, "reconnect_max": 0.05}
        async with ScriptedIrcd() as ircd, running(ircd.network(answer, **quick)):
            for _ in range(CUTS):
                connection = await ircd.accept()
                raw.append(connection)
                await connection.welcome()
                for _ in range(ASKED):
                    ask(connection)
                for _ in range(chance.randrange(ASKED)):
                    await hear(connection)
                match chance.choice(ENDINGS):
                    case "reset":
                        connection.reset()
                    case "close":
                        connection.close()
                    case "half a line":
                        connection.send_bytes(b":alice!al@home PRIVMSG #ops :!ans")
                        connection.close()
                    case "silence":
                        connection.freeze()
            connection = await ircd.accept()  # back by itself
            await connection.welcome()
            raw.append(connection)
            await hear(connection, ask(connection))

    asyncio.run(asyncio.wait_for(scene(), 60))
    heard = [re.findall(r"answer \d+\.", connection.raw.decode()) for connection in raw]
    assert len(taken) > CUTS
    assert taken.difference(*heard) == set()  # none is missing
    assert set().union(*heard) <= taken  # a half one counts for nothing
    assert all(len(answers) == len(set(answers)) for answers in heard)  # nor comes twice
    assert "lost a line" not in caplog.text  # and none is said to be lost that came
