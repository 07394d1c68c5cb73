"""A bot without doors, for the tests: calls go straight to dispatch, everything behind it is real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ircops import ini
from ircops.bot import Bot
from ircops.call import Call, Kind, Sender
from tests.people import Heard, call, on_irc, until

T = TypeVar("T")

ROLES = """
[roles]
viewer = *
operator = alice bob
admin = carol
"""


@dataclass
class Said:
    """What came of a line."""

    code: int
    heard: Heard

    @property
    def lines(self) -> list[str]:
        return self.heard.lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Bench:
    """A running bot and people who talk to it in #ops."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    def begin(self, line: str, who: str | Sender = "alice", where: str = "#ops") -> Asked:
        """Say something; it runs beside the test."""
        sender = on_irc(who) if isinstance(who, str) else who
        made, heard = call(line, sender, where)
        return Asked(made, heard, asyncio.create_task(self.bot.dispatch.handle(made)))

    async def say(self, line: str, who: str | Sender = "alice", where: str = "#ops") -> Said:
        """Say something and hear all that comes of it."""
        return await self.begin(line, who, where).end()


@dataclass
class Asked:
    """A call under way."""

    call: Call
    heard: Heard
    task: asyncio.Task[int]

    async def end(self, seconds: float = 30) -> Said:
        async with asyncio.timeout(seconds):
            code = await self.task
        await asyncio.sleep(0)  # the last words from its thread
        return Said(code, self.heard)

    async def question(self) -> str:
        """Wait until it asks, and give the question."""
        await until(lambda: self.call.reply.is_asking or self.task.done())
        return next(text for kind, text in reversed(self.heard.said) if kind is Kind.QUESTION)


def with_bot(
    directory: Path, settings: str, scene: Callable[[Bench], Awaitable[T]], roles: str = ROLES
) -> T:
    """Run `scene` with a bot of these settings whose state and commands/ are in `directory`."""
    path = directory / "ircops.ini"
    path.write_text(f"[bot]\nstate = {directory}/state\n{roles}{settings}")

    async def run() -> T:
        bot = Bot(ini.load(path))
        await bot.start()
        try:
            return await scene(Bench(bot))
        finally:
            await bot.stop()

    return asyncio.run(run())
