"""What health costs: `python bench/health.py --venv DIR [--quick]`, from ircops' own venv; DIR is that of bench/ssh.py.

The hosts are loopback addresses of one throw-away sshd. First the same probe on 200 of them by `!health`, ansible and
`clush -b`, in turn: so what else the machine does meets all alike. Then a bot that watches 500 every 30 s; its CPU is
`time.process_time` of the whole process, without the hosts'. One machine answers for all hosts: what a round takes by the
clock is what the probes take here, 500 times, so only CPU seconds and ratios mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.ssh import PACKAGES, Clients, Figures, _cpu, know, served, table
from bench.ssh_peers import FANOUT, Ansible, Clush, Site

T = TypeVar("T")
END = re.compile(r"@end\b")  # of a probe, behind the name of its host or not

OURS = "ircops health"
EVERY = 30.0
SETTINGS = """\
[bot]
state = {state}
[ssh]
user = {site.user}
key = {site.key}
config = /nonexistent
known_hosts = {site.known_hosts}
agent = no
fanout = {fanout}
[health]
load = 10000
uptime = 0
memory = 100
disk = 100
inodes = 100
clock = 1d
[network nowhere]
server = 127.0.0.1:1
tls = no
channels = #ops
[watch fleet]
every = {every}
in = #ops
[hosts]
{hosts}
"""


class Gathered(Clush):
    """`clush -b`: equal answers together; none is equal here, for each has its clock."""

    options = ("-b",)


PEERS = {"clush -b": Gathered, "ansible -m raw": Ansible}


def probed() -> str:
    """The probe of a watch as one line that no layer of quoting bends."""
    from ircops.ops.probe import WATCHED

    return f'sh -c "$(echo {base64.b64encode(WATCHED.encode()).decode()} | base64 -d)"'


def worker(name: str, site: Site) -> None:
    """A client: does what the lines of stdin say, and prints what it took as JSON."""
    if name == OURS:
        with tempfile.TemporaryDirectory() as state:
            asyncio.run(ours(site, Path(state)))
        return
    peer = PEERS[name](site)
    for line in sys.stdin:
        what, command = line.split(" ", 1)
        count, _, command = command.strip().partition(" ")
        hosts = site.hosts[: int(count)]
        before, began = _cpu(), time.perf_counter()
        figures: dict[str, float] = {}
        if what == "close":
            peer.close()
            peer = PEERS[name](site)
        else:
            said = peer.run(command, hosts)
            whole = sum(len(END.findall(text)) for text in said)
            figures["failed"] = len(hosts) - whole
        figures |= {"wall": time.perf_counter() - began, "cpu": _cpu() - before}
        print(json.dumps(figures), flush=True)
    peer.close()


async def with_bot(site: Site, state: Path, count: int, scene: Callable[..., Awaitable[T]]) -> T:
    """Run `scene` with a bot that knows so many hosts, without its doors."""
    from ircops import ini
    from ircops.bot import Bot

    path = state / "ircops.ini"
    hosts = "\n".join(f"h{n} = {host}:{site.port}" for n, host in enumerate(site.hosts[:count]))
    path.write_text(
        SETTINGS.format(state=state / "state", site=site, fanout=FANOUT, every=EVERY, hosts=hosts)
    )
    bot = Bot(ini.load(path))
    await bot.start()
    try:
        return await scene(bot)
    finally:
        await bot.stop()


async def ours(site: Site, state: Path) -> None:
    """`!health @all`, report, samples and all, on as many hosts as each line says."""

    stdin = sys.stdin  # the bot has one of its own

    async def one(bot: object) -> bool:
        """From one `close` to the next; False at the end."""
        while line := await asyncio.to_thread(stdin.readline):
            what, count, *_ = line.split()
            before, began = _cpu(), time.perf_counter()
            figures: dict[str, float] = {}
            if what != "close":
                report = await asyncio.to_thread(look, bot, int(count))
                figures["failed"] = sum(bool(one.error) for one in report.conditions)
            figures |= {"wall": time.perf_counter() - began, "cpu": _cpu() - before}
            print(json.dumps(figures), flush=True)
            if what == "close":
                return True
        return False

    while await with_bot(site, state, len(site.hosts), one):
        pass


def look(bot: object, count: int) -> object:
    parts = bot.parts  # type: ignore[attr-defined]
    hosts = parts.inventory.resolve(f"h[0-{count - 1}]")
    return parts.inspection.report(hosts, parts.fanout.run, "bench", soon=7 * 86400)


def watched(site: Site, rounds: int) -> dict[str, float]:
    """CPU of a bot that watches all hosts, in so many rounds after the one that connects."""
    from ircops.ops.watch import Watches

    async def scene(bot: object) -> dict[str, float]:
        said: list[str] = []

        class Outlet:
            def write(self, kind: object, text: str) -> None:
                said.append(text)

            def finish(self) -> None: ...

            def more(self) -> list[str]:
                return []

        watches = Watches(lambda: bot.parts, lambda places: Outlet())  # type: ignore[attr-defined]
        began = time.process_time()
        watches.start()
        first = watches._beats["fleet"]

        async def after(number: int) -> None:
            for _ in range(number):
                before = watches._beats["fleet"]
                while watches._beats["fleet"] == before:
                    await asyncio.sleep(0.5)

        while watches._beats["fleet"] == first:
            await asyncio.sleep(0.5)
        connected, at = time.process_time(), time.perf_counter()
        await after(rounds)
        cpu, wall = time.process_time() - connected, time.perf_counter() - at
        await watches.stop()
        return {
            "connecting": connected - began,
            "cpu": cpu / rounds,
            "wall": wall / rounds,
            "failed": len(said),
        }

    with tempfile.TemporaryDirectory() as state:
        return asyncio.run(with_bot(site, Path(state), len(site.hosts), scene))


def compare(site: Site, python: Path, count: int, rounds: int) -> None:
    names = [OURS, *PEERS]
    cold: Figures = defaultdict(list)
    warm: Figures = defaultdict(list)
    command = probed()
    with ExitStack() as stack:
        clients = Clients([], python, site)
        clients.names = names
        for name in names:
            used = Path(sys.executable) if name == OURS else python
            clients._workers[name] = clients._start(name, used, site, Path(__file__))
        stack.callback(clients.end)
        for _ in range(rounds):
            for name in names:
                clients.ask(name, "close", 0)
                cold[name].append(clients.ask(name, "cold", f"{count} {command}"))
            for _ in range(3):
                for name in names:
                    warm[name].append(clients.ask(name, "warm", f"{count} {command}"))
        for name in names:
            clients.ask(name, "close", 0)
    others = list(PEERS)
    print("\n".join(table(f"cold, {count} hosts", cold, others, "wall", 1)), flush=True)
    print("\n".join(table(f"warm, {count} hosts", warm, others, "wall", 1)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, help="where the peers' packages are, or go")
    parser.add_argument("--quick", action="store_true", help="20 and 50 hosts, one round")
    parser.add_argument("--only", choices=["compare", "watch"], help="only this measure")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--site", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker or given.site:
        fields = json.loads(given.site.read_text())
        site = Site(**{**fields, "hosts": tuple(fields["hosts"])})
        worker(given.worker, site)
        return
    count, rounds, most, looks = (20, 1, 50, 1) if given.quick else (200, 2, 500, 3)
    if given.only != "watch":
        if given.venv is None:
            parser.error("--venv DIR is needed")
        python = given.venv / "bin" / "python"
        if not (given.venv / "bin" / "ansible").exists():
            subprocess.run([sys.executable, "-m", "venv", given.venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        with served(count) as site:
            know(site, count)
            compare(site, python, count, rounds)
    if given.only != "compare":
        with served(most) as site:
            know(site, most)
            took = watched(site, looks)
        share = 100 * took["cpu"] / max(took["wall"], EVERY)
        print(f"| {most} hosts watched every {EVERY:.0f} s | |\n|---|--:|")
        print(f"| CPU of a round | {took['cpu']:.2f} s |")
        print(f"| of one core | {share:.1f} % |")
        print(f"| a round, by the clock | {took['wall']:.1f} s |")
        print(f"| CPU of the first round, with connecting | {took['connecting']:.1f} s |")
        print(f"| lines said | {took['failed']:.0f} |")


if __name__ == "__main__":
    main()
