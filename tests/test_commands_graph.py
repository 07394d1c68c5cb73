"""!graph, said in a channel."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ircops.call import Sender
from ircops.errors import FAILED, OK, USAGE
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.ircds import free_ports

HOSTS = "\n[hosts]\nweb[1-2] = user=ops\n"


def fill(bench: Bench) -> None:
    now = datetime.now(UTC)
    for minute in range(120):
        values = [("web1", "load", 0.5 + minute / 100), ("web1", "disk:/var", 91.0)]
        bench.bot.parts.samples.add(now - timedelta(minutes=minute), values)


def test_a_graph_is_drawn_in_the_channel_where_the_web_is_off(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await asyncio.to_thread(fill, bench)
        said = await bench.say("graph load web1 2h", "dave")
        assert said.code == OK and len(said.lines) == 4
        assert said.lines[0].startswith("web1 load, 2h: 0.5..1.6")
        assert all("⠀" <= line[0] <= "⣿" and len(line) < 60 for line in said.lines[1:])
        said = await bench.say("graph disk:/var web1", "dave")
        assert said.lines[0] == "web1 disk:/var, 24h: 91 %, mean 91 %, last 91 %"

    with_bot(tmp_path, HOSTS, scene)


def test_a_graph_is_a_link_where_the_web_is_on(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scene(bench: Bench) -> None:
        await asyncio.to_thread(fill, bench)
        assert (
            len((await bench.say("graph load web1 2h", "dave")).lines) == 4
        )  # no door is open yet
        assert not (tmp_path / "state" / "web.key").exists()
        bench.bot._web.read_key(bench.bot.settings)
        bench.bot._web.open()
        await until(lambda: bench.bot.parts.links.to("x"))
        said = await bench.say("graph load web1 2h", "dave")
        (line,) = said.lines
        assert f" · http://127.0.0.1:{port}/graph/web1/load?hours=2&until=" in line
        at_shell = Sender("console", "root", "root", evidence="SO_PEERCRED")
        assert len((await bench.say("graph load web1 2h", at_shell, where="")).lines) == 4
        await bench.bot._web.close()
        assert len((await bench.say("graph load web1 2h", "dave")).lines) == 4

    with_bot(tmp_path, f"{HOSTS}[web]\nlisten = 127.0.0.1:{port}\n", scene)


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await asyncio.to_thread(fill, bench)
        for line, code, words in (
            (
                "graph laod web1",
                FAILED,
                "no laod of web1; did you mean load? there is disk:/var, load",
            ),
            ("graph load web2", FAILED, "nothing was ever measured on web2; health web2 does it"),
            ("graph load web1 soon", USAGE, "a time span is written 90m, 24h, 7d or 4w"),
            ("graph load web9", USAGE, "web9"),
            ("graph load", USAGE, "missing argument 'HOSTS'"),
        ):
            said = await bench.say(line)
            assert said.code == code and words in said.text and len(said.lines) == 1, said.text

    with_bot(tmp_path, HOSTS, scene)
