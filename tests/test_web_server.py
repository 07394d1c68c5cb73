"""The doors of the web, with the whole bot: opened beside everything else, tried again, changed by a reload."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ircops import ini
from ircops.bot import Bot
from ircops.errors import BadConfig
from tests.people import until
from tests.real.ircds import free_ports
from tests.scripted_ircd import Connection, ScriptedIrcd

SETTINGS = """
[bot]
state = {directory}/state
trouble = #ops

[network test]
server = {server}
tls = no
channels = #ops

[roles]
viewer = *
admin = alice

[command numbers]
run = seq {{many}}
on = here
role = viewer

[schedule count]
at = 0 3 1 1 *
run = numbers 30
in = #ops

[web]
"""
Scene = Callable[[Bot, Connection, Path], Awaitable[None]]


def served(directory: Path, web: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `scene` with a bot that is in #ops; `web` is its section."""
    monkeypatch.setattr("ircops.web.server.RETRY", 0.05)

    async def run() -> None:
        async with ScriptedIrcd() as ircd:
            path = directory / "ircops.ini"
            path.write_text(SETTINGS.format(directory=directory, server=ircd.address) + web)
            bot = Bot(ini.load(path))
            await bot.start()
            serving = asyncio.create_task(bot.serve())
            try:
                server = await ircd.accept()
                await server.welcome(caps="account-tag message-tags")
                await scene(bot, server, path)
            finally:
                bot.end()
                assert await serving == 0
                await bot.stop()

    asyncio.run(run())


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody else listens there."""
    with socket.create_server(("127.0.0.1", port)):
        yield


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)


async def is_open(port: int) -> bool:
    try:
        await get(f"http://127.0.0.1:{port}/")
    except httpx.ConnectError:
        return False
    return True


def say(server: Connection, text: str) -> None:
    server.send(f"@account=alice :alice!al@home PRIVMSG #ops :{text}")


def test_a_long_answer_ends_with_the_link_to_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        for line, verb in (("!numbers 30", "PRIVMSG"), ("!schedule run count", "NOTICE")):
            say(server, line)
            said, _ = await server.until(f"{verb} #ops :… 24 more lines: !more")
            found = re.search(
                r"!more · (http://127\.0\.0\.1:\d+/job/\d+\?until=\d+&key=\w+)$", said
            )
            assert found is not None, said
            assert ">1\n2\n3\n" in (await get(found[1])).text
        say(server, "!numbers 3")
        await server.until("PRIVMSG #ops 3")  # and no more was to be said
        await until(lambda: not bot.parts.jobs.running)

    served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def test_without_a_web_a_long_answer_has_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        say(server, "!numbers 30")
        said, _ = await server.until("PRIVMSG #ops :… 24 more lines")
        assert said.endswith(": !more")
        assert not (path.parent / "state" / "web.key").exists()

    served(tmp_path, "", scene, monkeypatch)


def test_a_port_that_is_taken_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        said, _ = await server.until("NOTICE #ops :the web at ")
        assert f"127.0.0.1:{port}: address already in use; free it, or set" in said
        assert bot.parts.links.to("job/1") == ""
        say(server, "!version")
        await server.until("PRIVMSG #ops :alice: ircops ")
        busy.close()
        said, before = await server.until(f"NOTICE #ops :the web at 127.0.0.1:{port}: open now")
        assert not [line for line in before if "in use" in line]
        await until(lambda: bot.parts.links.to("job/1"))
        assert await is_open(port)
        assert caplog.text.count("address already in use") == 1

    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", port)) as busy:
        served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def test_one_door_that_cannot_be_opened_keeps_no_other_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        assert await is_open(port)
        said, _ = await server.until("NOTICE #ops :the web at 192.0.2.1:")
        assert "cannot assign requested address" in said

    served(tmp_path, f"listen = 127.0.0.1:{port} 192.0.2.1:8642", scene, monkeypatch)


def test_a_reload_opens_and_shuts_doors_and_old_links_stay_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = free_ports(3)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        say(server, "!numbers 3")
        await server.until("PRIVMSG #ops 3")
        old = bot.parts.links.to("job/1")
        text = path.read_text()
        path.write_text(text.replace(f":{one} ", f":{three} ") + "\nbase_url = http://127.0.0.1:1/")
        await bot.reload()
        assert bot.parts.links.to("job/1").startswith("http://127.0.0.1:1/job/1?")
        await until(lambda: len(bot._web._doors) == 2)
        await until(lambda: bot._web._doors.keys() == set(bot.settings.web.listen))
        await until(lambda: all(door.is_open for door in bot._web._doors.values()))
        assert [await is_open(port) for port in (one, two, three)] == [False, True, True]
        assert (await get(old.replace(f":{one}/", f":{three}/"))).status_code == 200
        path.write_text(text.partition("[web]")[0])
        await bot.reload()
        assert bot.parts.links.to("job/1") == ""
        await until(lambda: not bot._web._doors)
        path.write_text(text)
        await bot.reload()
        await until(lambda: bot.parts.links.to("job/1"))
        assert (await get(old)).status_code == 200

    served(tmp_path, f"listen = 127.0.0.1:{one} 127.0.0.1:{two}", scene, monkeypatch)


def test_a_reload_while_a_port_is_taken_gives_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, free = free_ports(2)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await server.until("NOTICE #ops :the web at ")
        path.write_text(path.read_text().replace(str(busy), str(free)))
        await bot.reload()
        await until(lambda: bot.parts.links.to("job/1"))
        assert await is_open(free)

    with taken(busy):
        served(tmp_path, f"listen = 127.0.0.1:{busy}", scene, monkeypatch)


def test_what_must_not_be_readable_stops_a_reload_and_all_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        (tmp_path / "state" / "web.key").chmod(0o644)
        say(server, "!reload")
        said, _ = await server.until("PRIVMSG #ops :alice: ")
        assert "others may read" in said
        assert await is_open(port)

    served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def test_the_signals_stay_the_bots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        before = signal.getsignal(signal.SIGTERM)
        await until(lambda: bot.parts.links.to("job/1"))
        assert signal.getsignal(signal.SIGTERM) is before
        signal.raise_signal(signal.SIGTERM)
        await server.until("QUIT ")

    served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


@pytest.mark.parametrize(
    ("web", "fault"),
    [
        ("listen = 8642", "needs its port: host:port"),
        ("listen = 127.0.0.1:99999", "a port is 1 to 65535"),
        ("listen = 0.0.0.0:8642", "listens everywhere, so links need base_url"),
        ("base_url = https://ops.example.org/", "has base_url but no listen"),
        ("listen = [::1]:80\nbase_url = ops.example.org", "it is https://HOST/, with a path or without"),
        ("listen = [::1]:80\nbase_url = https://x/?a", "it is https://HOST/"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_a_fault_of_the_settings(
    tmp_path: Path, web: str, fault: str
) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(f"[web]\n{web}\n")
    with pytest.raises(BadConfig, match=re.escape(fault)) as caught:
        ini.load(path)
    assert caught.value.exit_code == 78
