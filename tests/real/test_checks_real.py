"""Plugins of Debian's monitoring-plugins-basic as checks: on hosts over a real sshd, and from here."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import click
import httpx
import pytest

from ircops.errors import FAILED, OK
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.ircds import free_ports
from tests.real.sshd import HOSTS, Sshd
from tests.real.test_commands_real import SETTINGS

PLUGINS = Path("/usr/lib/nagios/plugins")
LAX = """
[health]
load = 1000
memory = 100
swap = 100
disk = 100
inodes = 100
uptime = 0
clock = 1h
"""


@pytest.fixture(autouse=True)
def plugins() -> None:
    if not (PLUGINS / "check_disk").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no plugins here: apt install monitoring-plugins-basic"
        )


def settings(sshd: Sshd, checks: str) -> str:
    hosts = "\n".join(f"{name} = {HOSTS[name]}:{sshd.port}" for name in ("web1", "web2"))
    there = SETTINGS.replace("gone = 127.0.0.1:1\n", "").replace("web[1-3]", "web[1-2]")
    return there.format(user=sshd.user, directory=sshd.directory, hosts=hosts) + LAX + checks


def test_real_plugins_run_on_hosts_and_from_here(sshd: Sshd, tmp_path: Path) -> None:
    """Their words are in the report, their values in the samples."""

    async def scene(bench: Bench) -> None:
        said = await bench.say("health")
        assert said.code == FAILED
        told = r"web(\[1-2\]|\d): room critical: free space: / \d+ ?MiB \(\d+% inode=\d+%\)"
        assert click.unstyle(said.lines[0]).startswith("health: 2 of 2 hosts not fine")
        assert 1 <= len(said.lines[1:]) <= 2  # the disk is another after a moment
        assert all(re.fullmatch(told, line) for line in said.lines[1:])
        samples = bench.bot.parts.samples
        assert {"disk:/", "room:/", "burden:load1"} <= set(samples.measures("web1"))
        assert "door:time" in samples.measures("here")
        now = datetime.now(UTC)
        [point] = samples.series("web2", "room:/", now - timedelta(hours=1), now)
        used = os.statvfs("/")
        size = used.f_frsize * used.f_blocks
        assert 0 < point.mean < size and point.mean % 2**20 == 0  # bytes, told in MiB

    checks = f"""
[check room]
run = {PLUGINS}/check_disk -w 100% -c 100% -p /
on = @all
[check burden]
run = {PLUGINS}/check_load -w 1000,1000,1000 -c 2000,2000,2000
on = @web
[check door]
run = {PLUGINS}/check_tcp -H {HOSTS["web1"]} -p {sshd.port}
"""
    with_bot(tmp_path, settings(sshd, checks), scene)


def test_what_a_plugin_measures_is_drawn(sshd: Sshd, tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scene(bench: Bench) -> None:
        bot = bench.bot
        bot._web.read_key(bot.settings)
        bot._web.open()
        try:
            await until(lambda: bot.parts.links.to("x"))
            await bench.say("health web1")
            said = await bench.say("graph burden:load1 web1 1h")
            link = re.search(r"http://\S+", said.text)
            assert link is not None, said.text
            async with httpx.AsyncClient() as client:
                seen = await client.get(link[0])
                assert seen.status_code == 200 and "burden:load1" in seen.text
                drawn = await client.get(bot.parts.links.to("graph/web1/burden:load1.svg?hours=1"))
            assert ElementTree.fromstring(drawn.text).tag.endswith("svg")
            assert "burden:load1" in drawn.text and "web1" in drawn.text
        finally:
            await bot._web.close()

    checks = f"""
[check burden]
run = {PLUGINS}/check_load -w 1000,1000,1000 -c 2000,2000,2000
on = web1
[web]
listen = 127.0.0.1:{port}
"""
    with_bot(tmp_path, settings(sshd, checks), scene)


def test_a_plugin_that_hangs_on_a_host_is_critical_and_killed(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("health web1")
        assert said.code == FAILED
        assert "stuck critical: timed out after 0.5 s" in said.lines[0]
        assert (await bench.say("uptime web1")).code == OK  # the connection is still good

    checks = "[check stuck]\nrun = sleep 600\non = web1\ntimeout = 0.5s\n"
    with_bot(tmp_path, settings(sshd, checks), scene)
    assert not [pid for pid in sshd.commands() if b"sleep\x00600" in _line(pid)]


def _line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
