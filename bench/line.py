"""From a line in a channel to the answer of a host: ircops and another bot, on one InspIRCd and one sshd.

ircops takes `!load web1` through all it has: roles, the record on the disk, its connection that waits. The other, Sopel,
has a plugin as one writes it first: an SSHClient for each call, no roles, no record.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from bench.bots import HERE, Subject, install, run_ircops, run_sopel
from bench.client import Client
from bench.servers import InspIRCd
from bench.ssh_peers import Site

BURST = 30  # lines, one after the other
PEER = "sopel"
LOAD = "echo $(cat /proc/loadavg) $(date +%N) %\\)"  # ends as ours does; Sopel says nothing twice
TICKS = os.sysconf("SC_CLK_TCK")


async def line_to_line(site: Site, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Seconds from line to line and of CPU for so many bursts of each, in turn."""
    install()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = InspIRCd(directory)
        bots = [
            Subject("ircops", lambda *words: ours(site, *words), directory / "ircops"),
            Subject(PEER, lambda *words: sopel(site, *words), directory / "sopel"),
        ]
        took: dict[str, list[dict[str, float]]] = {bot.name: [] for bot in bots}
        await server.start()
        try:
            people = []
            for bot in bots:
                bot.start(server.port)
                person = await Client.connect(
                    server.port, f"watcher{len(people)}", bot.channel, bot.nick
                )
                async with asyncio.timeout(30):
                    await person.bot_in
                people.append(person)
            for _ in range(rounds + 1):
                for bot, person in zip(bots, people, strict=True):
                    took[bot.name].append(await burst(bot, person))
        finally:
            for bot in bots:
                bot.stop()
            server.kill()
    return {name: rows[1:] for name, rows in took.items()}  # the first connects


async def burst(bot: Subject, person: Client) -> dict[str, float]:
    before, began = cpu(bot), time.perf_counter()
    times = []
    for _ in range(BURST):
        async with asyncio.timeout(20):
            times.append(await person.ask("!load", "web1", last="%)"))
    wall = time.perf_counter() - began
    return {
        "p50": statistics.median(times),
        "times": len(times),
        "wall": wall,
        "cpu": cpu(bot) - before,
    }


def cpu(bot: Subject) -> float:
    """Seconds that its process has used."""
    assert bot.process is not None
    fields = Path(f"/proc/{bot.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def ours(site: Site, directory: Path, port: int, nick: str, channel: str) -> list[str]:
    words = run_ircops(directory, port, nick, channel)
    path = directory / "ircops.ini"
    text = path.read_text().replace(f"{HERE}/peers/commands", f"{HERE.parent}/commands")
    path.write_text(f"""{text}
[ssh]
user        = {site.user}
key         = {site.key}
config      = {directory}/none
known_hosts = {site.known_hosts}
agent       = no

[hosts]
web1 = {site.hosts[0]}:{site.port}
""")
    return words


def sopel(site: Site, directory: Path, port: int, nick: str, channel: str) -> list[str]:
    (directory / "site.json").write_text(json.dumps({**asdict(site), "command": LOAD}))
    return run_sopel(directory, port, nick, channel)
