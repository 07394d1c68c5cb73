"""The wiring: what starts, what a reload changes, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ircops import ini
from ircops.bot import Bot, check
from ircops.errors import REFUSED_BY_SERVER, BadConfig
from ircops.store.database import Database
from tests.people import until
from tests.scripted_ircd import Connection, ScriptedIrcd

SETTINGS = """
[bot]
state = {directory}/state

[network test]
server = {server}
tls = no
channels = #ops #deploys

[roles]
viewer = *
admin = alice

[command wait]
run = sleep {{seconds}}
on = here
role = viewer

[schedule night]
at = 0 3 1 1 *
run = version
in = #deploys
"""
CAPS = "account-tag message-tags"


def served(
    directory: Path, scene: Callable[[Bot, Connection, Path], Awaitable[None]], welcome: bool = True
) -> int:
    """Run `scene` with a bot that is in its channels; gives the exit code."""

    async def run() -> int:
        async with ScriptedIrcd() as ircd:
            path = directory / "ircops.ini"
            path.write_text(SETTINGS.format(directory=directory, server=ircd.address))
            bot = Bot(ini.load(path))
            await bot.start()
            serving = asyncio.create_task(bot.serve())
            try:
                server = await ircd.accept()
                if welcome:
                    await server.welcome(caps=CAPS)
                    server.let_in("#deploys")
                    await server.until("MODE #deploys")
                await scene(bot, server, path)
            finally:
                bot.end()
                code = await serving
                await bot.stop()
            return code

    return asyncio.run(run())


def say(server: Connection, text: str) -> None:
    server.send(f"@account=alice :alice!al@home PRIVMSG #ops :{text}")


def test_a_report_goes_to_its_channel_as_a_notice(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        say(server, "!schedule run night")
        await server.until("NOTICE #deploys :ircops ")

    assert served(tmp_path, scene) == 0


def test_sighup_takes_new_settings_and_keeps_the_old_when_they_are_faulty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        good = path.read_text()
        path.write_text(good.replace("[command wait]", "[comand wait]"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "kept the old settings" in caplog.text)
        say(server, "!wait 0")
        await server.until("PRIVMSG #ops :alice: ok")
        path.write_text(
            good.replace("[command wait]", "[command rest]")
            .replace(" #deploys\n", " #more\n", 1)
            .replace("in = #deploys", "in = #more")
        )
        os.kill(os.getpid(), signal.SIGHUP)
        await server.until("PART #deploys")
        say(server, "!wait 0")
        await server.until("PRIVMSG #ops :alice: unknown command wait")

    served(tmp_path, scene)
    assert f"{tmp_path}/ircops.ini:14: unknown section [comand wait]" in caplog.text


def test_a_reload_from_the_channel_names_the_faults_to_the_admin(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        say(server, "!reload")
        await server.until("PRIVMSG #ops :alice: read ")
        path.write_text(path.read_text() + "\nx = y = z\n[nonsense]\n")
        say(server, "!reload")
        line, _ = await server.until("PRIVMSG #ops :alice: ")
        assert "ircops.ini:" in line

    served(tmp_path, scene)


def test_a_shutdown_ends_what_runs_and_says_goodbye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.bot.GRACE", 0.2)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        say(server, "!wait 600")
        await until(lambda: bot.parts.jobs.running and bot.parts.jobs.running[0].state == "running")
        os.kill(os.getpid(), signal.SIGTERM)
        await server.until("PRIVMSG #ops :alice: the bot is shutting down")
        await server.until("QUIT ")

    assert served(tmp_path, scene) == 0


def test_a_ban_ends_the_bot_with_its_own_code(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await server.until("USER ")
        server.send(":irc.test 465 * :You are banned")
        await until(lambda: bot.parts.status()["test"].startswith("refused"))

    assert served(tmp_path, scene, welcome=False) == REFUSED_BY_SERVER


def test_a_second_bot_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        second = Bot(ini.load(path))
        await second.start()
        with pytest.raises(Exception, match="another ircops answers at"):
            await second.serve()
        await second.stop()

    served(tmp_path, scene)


def test_check_finds_what_only_all_the_parts_know(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(
        "[network a]\nserver = h:1\nchannels = #o\n[groups]\nweb = @wbe\n"
        "[schedule s]\nat = 0 9 * * *\nrun = helth @all\nin = #o\n[command laod]\nrole = viewer\n"
    )
    with pytest.raises(BadConfig) as caught:
        check(ini.load(path))
    faults = "\n".join(caught.value.faults)
    assert f"{path}:5: " in faults
    assert "@wbe" in faults
    assert f"{path}:10: [command laod]" in faults
    path.write_text(path.read_text().replace("laod", "load").replace("@wbe", "web1"))
    with pytest.raises(BadConfig, match=r":8: .*unknown command helth; did you mean health"):
        check(ini.load(path))


# What takes longer to import than all the rest of a start, and is for hosts, schedules, who reads the record, the web.
HEAVY = {"alembic", "apscheduler", "cryptography", "paramiko", "sqlalchemy"}
HEAVY |= {"PIL", "jinja2", "prometheus_client", "starlette", "uvicorn"}


async def _answer_once(directory: Path) -> None:
    """Come into the channel and answer a call; then print which of `HEAVY` that took."""
    async with ScriptedIrcd() as ircd:
        path = directory / "ircops.ini"
        path.write_text(
            SETTINGS.partition("[schedule")[0].format(directory=directory, server=ircd.address)
        )
        bot = Bot(ini.load(path))
        await bot.start()
        serving = asyncio.create_task(bot.serve())
        server = await ircd.accept()
        await server.welcome(caps=CAPS)
        say(server, "!version")
        await server.until("PRIVMSG #ops :alice: ircops ")
        print(*HEAVY & sys.modules.keys())
        bot.end()
        await serving
        await bot.stop()


def test_a_bot_that_has_reached_no_host_has_imported_nothing_for_it(tmp_path: Path) -> None:
    database = Database("", tmp_path / "state")
    database.open()  # the first start of all makes the tables, and for that it needs all of Alembic
    database.close()
    code = "import asyncio, pathlib, sys; from tests.test_bot import _answer_once;"
    code += "asyncio.run(_answer_once(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
