"""How fast ircops reaches hosts, beside other SSH clients, on one sshd: `python bench/ssh.py --venv DIR [--quick | --many]`.

The hosts are 127.0.1.1 and so on, all of them one throw-away OpenSSH. Every client is a process of its own, with the
packages of the venv DIR (made if it is not there), and does each measure in turn with all others, several times, so
that what else the machine does meets all alike. The command is `echo here`; cold is with connecting. CPU is the
client's, with its children; of OpenSSH's masters, which leave it, nothing is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.line import BURST, PEER, line_to_line
from bench.ssh_peers import IN_ONE_PROCESS, PEERS, Site

PACKAGES = [
    "parallel-ssh>=2.16",
    "asyncssh>=2.24",
    "ClusterShell>=1.9.3",
    "ansible-core>=2.19",
    "paramiko>=5",
    "click>=8.2",
]
LONG = 4.0  # seconds after which a burst is long enough
IDLE = 5.0  # seconds to look at idle connections
Figures = dict[str, list[dict[str, float]]]  # peer -> one for each round


def worker(name: str, site: Site) -> None:
    """A client: does what the lines of stdin say, and prints what it took as JSON."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if not name.startswith("ircops"):  # which sees to it by itself
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    peer = PEERS[name](site)
    for line in sys.stdin:
        what, count = line.split()
        hosts = site.hosts[: int(count)]
        before, began = _cpu(), time.perf_counter()
        figures: dict[str, float] = {}
        if what == "close":
            peer.close()
            peer = PEERS[name](site)
        elif what == "burst":
            times: list[float] = []
            while len(times) < BURST and sum(times) < LONG:
                one = time.perf_counter()
                assert len(peer.run("echo here", hosts[:1])) == 1
                times.append(time.perf_counter() - one)
            figures |= {"p50": statistics.median(times), "times": len(times)}
        elif what == "idle":
            figures["rss"] = _rss()
            time.sleep(IDLE)
        else:
            said = peer.run("echo here", hosts)
            figures["failed"] = len(hosts) - sum("here" in text for text in said)
        figures |= {"wall": time.perf_counter() - began, "cpu": _cpu() - before}
        print(json.dumps(figures), flush=True)
    peer.close()
    os._exit(0)  # some leave threads that do not end


def _cpu() -> float:
    """Seconds of this process and its children."""
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _rss() -> float:
    """Bytes of memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(resource.getpagesize())


class Clients:
    """A worker for each peer."""

    def __init__(self, names: list[str], python: Path, site: Site) -> None:
        self._workers = {name: self._start(name, python, site) for name in names}
        self.names = names

    def _start(
        self, name: str, python: Path, site: Site, script: Path = Path(__file__)
    ) -> subprocess.Popen[str]:
        given = Path(site.key).with_name("site.json")
        given.write_text(json.dumps(asdict(site)))
        words = [python, script, "--worker", name, "--site", given]
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, name: str, what: str, count: int | str) -> dict[str, float]:
        """Have one do something; what it took."""
        client = self._workers[name]
        assert client.stdin and client.stdout
        client.stdin.write(f"{what} {count}\n")
        client.stdin.flush()
        line = client.stdout.readline()
        if not line:
            raise SystemExit(f"{name} broke off at: {what} {count}")
        figures: dict[str, float] = json.loads(line)
        return figures

    def end(self) -> None:
        for client in self._workers.values():
            assert client.stdin
            client.stdin.close()
        for client in self._workers.values():
            client.wait(60)


@contextmanager
def served(count: int) -> Iterator[Site]:
    """An sshd with so many addresses."""
    from tests.real.sshd import serve

    hosts = tuple(f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count))
    with (
        tempfile.TemporaryDirectory() as directory,
        # it takes no more than 16 addresses but all
        serve(Path(directory), MaxStartups="2000", ListenAddress="0.0.0.0") as sshd,
    ):
        site = Site(sshd.port, sshd.user, str(sshd.key), str(sshd.known_hosts), hosts)
        know(site, count, sshd.host_key())
        yield site


def know(site: Site, count: int, key: str = "") -> None:
    """Write so many hosts to known_hosts; what paramiko needs to read it grows with its square."""
    known = Path(site.known_hosts)
    key = key or " ".join(known.read_text().split()[1:3])
    lines = [f"[{host}]:{site.port} {key}\n" for host in site.hosts[:count]]
    known.write_text("".join(lines))


def fan_out(clients: Clients, count: int, rounds: int) -> tuple[Figures, Figures]:
    """Cold and warm, so many rounds; three warm ones for each cold one."""
    cold: Figures = defaultdict(list)
    warm: Figures = defaultdict(list)
    for _ in range(rounds):
        for name in clients.names:
            cold[name].append(clients.ask(name, "cold", count))
        for _ in range(3):
            for name in clients.names:
                warm[name].append(clients.ask(name, "warm", count))
        for name in clients.names:
            clients.ask(name, "close", count)
    return cold, warm


def table(title: str, rows: Figures, best_of: list[str], value: str, unit: float) -> list[str]:
    """Markdown: median, range, ratio to the best other, CPU."""
    middle = {name: statistics.median(one[value] for one in took) for name, took in rows.items()}
    best = min(middle[name] for name in best_of)
    mark = "s" if unit == 1 else "ms"
    lines = [
        f"| {title} | {mark} | ratio | range | client CPU {mark} | failed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in sorted(middle, key=lambda name: middle[name]):
        took = [unit * one[value] for one in rows[name]]
        cpu = unit * statistics.median(one["cpu"] for one in rows[name])
        if value == "p50":
            cpu /= statistics.median(one["times"] for one in rows[name])
        failed = sum(one.get("failed", 0) for one in rows[name])
        lines.append(
            f"| {name} | {unit * middle[name]:.2f} | {middle[name] / best:.2f} "
            f"| {min(took):.2f}–{max(took):.2f} | {cpu:.2f} | {failed:.0f} |"
        )
    return [*lines, ""]


def idle(clients: Clients, count: int) -> list[str]:
    """What so many open connections cost."""
    lines = [f"| {count} idle connections | KB each | % of a core |", "|---|--:|--:|"]
    for name in clients.names:
        clients.ask(name, "close", 0)
        clients.ask(name, "cold", 1)
        before = clients.ask(name, "idle", 1)["rss"]
        clients.ask(name, "warm", count)
        took = clients.ask(name, "idle", count)
        each = (took["rss"] - before) / count / 1024
        lines.append(f"| {name} | {each:.0f} | {100 * took['cpu'] / took['wall']:.1f} |")
        clients.ask(name, "close", count)
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, help="where the peers' packages are, or go")
    parser.add_argument("--quick", action="store_true", help="20 hosts, one round")
    parser.add_argument("--many", action="store_true", help="1,000 hosts, one round, no more")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--site", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        fields = json.loads(given.site.read_text())
        worker(given.worker, Site(**{**fields, "hosts": tuple(fields["hosts"])}))
        return
    if given.venv is None:
        parser.error("--venv DIR is needed")
    python = given.venv / "bin" / "python"
    if not (given.venv / "bin" / "ansible").exists():
        subprocess.run([sys.executable, "-m", "venv", given.venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    counts, rounds, most = ([20], 1, 20) if given.quick else ([50, 200], 2, 500)
    names = list(PEERS)
    if given.many:
        counts, rounds, most, names = [1000], 1, 1000, list(IN_ONE_PROCESS)
    others = [name for name in names if not name.startswith("ircops")]
    with ExitStack() as stack:
        site = stack.enter_context(served(most))
        clients = Clients(names, python, site)
        stack.callback(clients.end)
        for count in counts:
            know(site, count)
            for name in names:
                clients.ask(name, "close", 0)
            cold, warm = fan_out(clients, count, rounds)
            print("\n".join(table(f"cold, {count} hosts", cold, others, "wall", 1)), flush=True)
            print("\n".join(table(f"warm, {count} hosts", warm, others, "wall", 1)), flush=True)
        if given.many:
            return
        burst: Figures = defaultdict(list)
        for _ in range(rounds + 1):
            for name in clients.names:
                burst[name].append(clients.ask(name, "burst", 1))
        burst = {name: took[1:] for name, took in burst.items()}  # the first connects
        print("\n".join(table("one warm command", burst, others, "p50", 1000)), flush=True)
        know(site, most)
        asked = asyncio.run(line_to_line(site, rounds))
        print(
            "\n".join(table("`!load web1`, line to line", asked, [PEER], "p50", 1000)),
            flush=True,
        )
        clients.names = list(IN_ONE_PROCESS)
        print("\n".join(idle(clients, most)), flush=True)


if __name__ == "__main__":
    main()
