"""A thousand calls at once from fifty people, through a whole bot: each is answered, and all of it is on the record."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

from ircops import ini
from ircops.bot import Bot
from tests.scripted_ircd import ScriptedIrcd

PEOPLE = [f"user{number}" for number in range(50)]
EACH = 20
SETTINGS = """
[bot]
state = {directory}/state
jobs_per_user = 3

[network test]
server = {server}
tls = no
channels = #ops

[roles]
viewer = *
operator = user0 user1 user2 user3 user4 user5 user6 user7 user8 user9
"""
TURN = """
import click
from ircops import requires

@requires("viewer", lock="turn:{of}")
@click.command()
@click.argument("of", type=int)
@click.argument("word")
def turn(of, word):
    "Take a turn, one at a time for each OF."
    click.echo(word)
"""
QUICK = """
import click
from ircops import requires

@requires("viewer")
@click.command()
@click.argument("word")
def quick(word):
    "Say WORD."
    click.echo(word)
"""
SHUT = QUICK.replace('"viewer"', '"operator"').replace("quick", "shut")


def line(person: int, number: int) -> str:
    """What somebody says: mostly quick ones, some that take turns, some that they may not run."""
    word = f"w{person}-{number}"
    if number % 5 == 1:
        return f"turn {person % 7} {word}"
    return f"shut {word}" if number % 5 == 2 else f"quick {word}"


def test_a_thousand_calls_at_once_are_all_answered_and_all_on_the_record(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    for name, text in (("turn", TURN), ("quick", QUICK), ("shut", SHUT)):
        (tmp_path / "commands" / f"{name}.py").write_text(text)
    asyncio.run(all_at_once(tmp_path))


async def all_at_once(directory: Path) -> None:
    async with ScriptedIrcd() as ircd:
        path = directory / "ircops.ini"
        path.write_text(SETTINGS.format(directory=directory, server=ircd.address))
        bot = Bot(ini.load(path))
        await bot.start()
        serving = asyncio.create_task(bot.serve())
        try:
            server = await ircd.accept()
            await server.welcome(caps="account-tag message-tags")
            server.send(*(f":{person}!u@h JOIN #ops" for person in PEOPLE))
            asked = [(n, number) for number in range(EACH) for n in range(len(PEOPLE))]
            server.send(
                *(
                    f"@account={PEOPLE[n]} :{PEOPLE[n]}!u@h PRIVMSG #ops :!{line(n, number)}"
                    for n, number in asked
                )
            )
            heard: Counter[str] = Counter()
            queued = 0
            words = re.compile(r"[: ](w\d+-\d+)$")
            while sum(heard.values()) < len(asked):
                text = await server.line()
                assert text is not None
                text = text.replace("\u2060", "")
                if found := words.search(text):
                    heard[found[1]] += 1
                elif "shut needs role operator" in text:
                    heard[text.split(":")[1]] += 1
                elif "is queued" in text:
                    queued += 1
        finally:
            bot.end()
            await serving
        record = bot.parts.record
        events = Counter(
            (entry.line, entry.event) for entry in record.entries(last=10**5) if entry.call
        )
        numbers = {(entry.call, entry.event) for entry in record.entries(last=10**5) if entry.call}
        assert record.verify() == []
        await bot.stop()
    assert queued > 0
    expected: Counter[tuple[str, str]] = Counter()
    for n, number in asked:
        said = line(n, number)
        is_refused = said.startswith("shut") and n >= 10
        expected.update(
            (said, event) for event in (["refused"] if is_refused else ["started", "ended"])
        )
    assert events == expected
    assert len(numbers) == expected.total()  # each call has its own number
    assert max(count for word, count in heard.items() if word.startswith("w")) == 1
