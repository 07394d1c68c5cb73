"""A bot with a day of made-up samples, to look at its pages in a browser: python -m tests.pages

It speaks no IRC, reaches no host, prints links, and is gone with ^C.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ircops.ops.health import Condition, Fault
from ircops.ops.vitals import Disk, Vitals
from tests.bench import Bench, with_bot
from tests.people import until

HOSTS = [f"web{number}" for number in range(1, 7)]
SETTINGS = r"""
[hosts]
web[1-6] = user=ops

[command deploy]
run = printf '\033[32m✓\033[0m step \033[1m%s\033[0m of 40 \033[33m(%s ms)\033[0m\n' $(seq 80); echo '<b>not bold</b>'; exit 1
on = here
role = viewer

[command wait]
run = echo begun; exec sleep 600
on = here
role = viewer

[web]
listen = 127.0.0.1:8642
"""


def samples(minutes: int) -> Iterator[tuple[str, str, float]]:
    """What was measured so many minutes ago: load follows the day, web1 had a peak, /var fills."""
    day = math.sin(minutes / 1440 * 2 * math.pi)
    for number, host in enumerate(HOSTS):
        peak = 1.3 * math.exp(-(((minutes - 420) / 18) ** 2)) if host == "web1" else 0.0
        yield host, "load", max(0.4 + 0.2 * day + number / 20 + peak + random.gauss(0, 0.06), 0.01)
        yield host, "memory", 55 + 8 * day + number + random.gauss(0, 0.4)
        yield host, "disk:/var", 92 - minutes / 160
        yield host, "clock", random.gauss(0.002, 0.004)


def conditions() -> Iterator[Condition]:
    for number, host in enumerate(HOSTS):
        disks = (Disk("/", 41), Disk("/var", 60 + 7 * number))
        load = (0.4 + number,) * 3
        vitals = Vitals(load=load, cores=8, uptime=4e5 * (number + 1), memory=50 + 5.0 * number, disks=disks)  # fmt: skip
        full = (Fault("disk:/var", "disk /var 95 %"), Fault("unit:nginx", "failed nginx"))
        if host == "web3":
            yield Condition(host, error="no route to host (after 10 s)")
        else:
            yield Condition(host, vitals, faults=full if host == "web6" else ())


async def show(bench: Bench) -> None:
    parts = bench.bot.parts
    for minutes in range(1440):
        if not 300 < minutes < 330:  # nobody measured
            at = datetime.now(UTC) - timedelta(minutes=minutes)
            await asyncio.to_thread(parts.samples.add, at, list(samples(minutes)))
    report = await asyncio.to_thread(
        parts.reports.make, "#ops @all", list(conditions()), [], [("web5", "disk /var full in 3 d")]
    )
    bench.bot._web.read_key(bench.bot.settings)
    bench.bot._web.open()
    await until(lambda: parts.links.to("x"))
    await bench.say("deploy")
    waiting = bench.begin("wait")
    graphs = ["graph/web1/load?hours=24", "graph/web%5B1-6%5D/load?hours=24"]
    for page in (
        *graphs,
        "graph/web1/load.png?hours=24",
        "job/1",
        "job/2",
        f"health/{report.number}",
    ):
        print(parts.links.to(page), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        waiting.call.stop.ask("all is over")
        await waiting.end()
        await bench.bot._web.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ircops-pages-") as directory:
        try:
            with_bot(Path(directory), SETTINGS, show)
        except KeyboardInterrupt:
            print()
