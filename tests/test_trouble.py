"""Trouble with one channel is said in another: the whole bot on a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ircops import ini
from ircops.bot import Bot
from tests.scripted_ircd import Connection, ScriptedIrcd

SETTINGS = """
[bot]
state = {directory}/state
trouble = {trouble}

[network test]
server = {server}
tls = no
channels = #ops #dev
"""


def play(directory: Path, trouble: str, scene: Callable[[Connection], Awaitable[None]]) -> None:
    """Run `scene` with a bot that is in #ops and #dev."""

    async def stage() -> None:
        async with ScriptedIrcd() as ircd:
            path = directory / "ircops.ini"
            path.write_text(
                SETTINGS.format(directory=directory, server=ircd.address, trouble=trouble)
            )
            bot = Bot(ini.load(path))
            await bot.start()
            serving = asyncio.create_task(bot.serve())
            try:
                server = await ircd.accept()
                await server.welcome()
                server.let_in("#dev")
                await server.until("MODE #dev")
                await scene(server)
            finally:
                bot.end()
                await serving
                await bot.stop()

    asyncio.run(stage())


async def said(server: Connection) -> list[str]:
    """What the bot says until it has answered all so far."""
    server.send("PING :end")
    _, before = await server.until("PONG end")
    return before


KICK = ":mallory!m@m KICK #dev opsbot :out"
TOLD = "NOTICE #ops :trouble on test: no longer in #dev: kicked by mallory: out; back in 2 s"


def test_trouble_with_a_channel_is_told_in_the_other(tmp_path: Path) -> None:
    async def scene(server: Connection) -> None:
        server.send(KICK)
        await server.expect(TOLD)

    play(tmp_path, "test/#ops #dev", scene)


def test_without_the_setting_it_is_logged_only(tmp_path: Path, caplog) -> None:
    async def scene(server: Connection) -> None:
        server.send(KICK)
        assert await said(server) == []

    play(tmp_path, "", scene)
    assert "no longer in #dev: kicked by mallory: out" in caplog.text


def test_a_refused_report_of_trouble_makes_no_more_trouble(tmp_path: Path) -> None:
    async def scene(server: Connection) -> None:
        server.send(KICK)
        await server.expect(TOLD)
        server.send(":s 404 opsbot #ops :Cannot send to channel (+m)")
        assert await said(server) == []

    play(tmp_path, "#ops", scene)
