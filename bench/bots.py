"""The bots that are measured, each with the settings that make it as fast as it goes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
VENV = HERE / ".venv"
PEERS = ("limnoria", "sopel", "irc>=20.5", "paramiko>=5")
QUIET = 1_000_000  # a limit that is never met


@dataclass
class Subject:
    """A bot that can be started, again and again, on any port."""

    name: str
    command: Callable[[Path, int, str, str], list[str]]  # directory, port, nick, channel
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def nick(self) -> str:
        return f"b-{self.name}"[:16]

    @property
    def channel(self) -> str:
        return f"#{self.name}"

    def start(self, port: int) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = self.command(self.directory, port, self.nick, self.channel)
        with (self.directory / "output").open("ab") as output:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            home = os.environ | {"HOME": str(self.directory)}
            # each has its bytecode, as if it were installed, also in a checkout and where none may be written
            home |= {
                "PYTHONPYCACHEPREFIX": str(self.directory / "bytecode"),
                "PYTHONDONTWRITEBYTECODE": "",
            }
            self.process = subprocess.Popen(command, cwd=self.directory, env=home, **quiet)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def output(self) -> str:
        """What it printed, for whoever wonders why it does not come."""
        return (self.directory / "output").read_text(errors="replace")

    @property
    def resident(self) -> float:
        """MiB of memory it holds now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


def subjects(directory: Path) -> list[Subject]:
    """All of them; the peers are installed into a venv of their own the first time."""
    install()
    programs = {
        "raw": _peer("raw.py"),
        "aio": _peer("aio.py"),
        "ircops": run_ircops,
        "limnoria": _limnoria,
        "sopel": run_sopel,
    }
    return [Subject(name, command, directory / name) for name, command in programs.items()]


def install() -> None:
    """Have the peers from PyPI, as they come."""
    if not any(VENV.glob("lib/*/site-packages/paramiko")):
        if not (VENV / "bin" / "pip").exists():
            venv.create(VENV, with_pip=True)
        pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS], check=True)


def _peer(name: str) -> Callable[[Path, int, str, str], list[str]]:
    def command(directory: Path, port: int, nick: str, channel: str) -> list[str]:
        return [str(VENV / "bin" / "python"), str(HERE / "peers" / name), str(port), nick, channel]

    return command


def run_ircops(directory: Path, port: int, nick: str, channel: str) -> list[str]:
    path = directory / "ircops.ini"
    path.write_text(f"""
[bot]
nick     = {nick}
state    = {directory}/state
commands = {HERE}/peers/commands

[network bench]
server   = 127.0.0.1:{port}
tls      = no
channels = {channel}

[roles]
viewer = *
""")
    program = Path(sys.executable).with_name("ircops")
    return [str(program), "run", "--config", str(path)]


def _limnoria(directory: Path, port: int, nick: str, channel: str) -> list[str]:
    path = directory / "limnoria.conf"
    path.write_text(f"""
supybot.nick: {nick}
supybot.ident: bench
supybot.networks: bench
supybot.networks.bench.servers: 127.0.0.1:{port}
supybot.networks.bench.channels: {channel}
supybot.networks.bench.ssl: False
supybot.reply.whenAddressedBy.chars: !
supybot.directories.plugins: {HERE}/peers
supybot.plugins: Bench
supybot.plugins.Bench: True
supybot.plugins.Bench.public: True
supybot.protocols.irc.throttleTime: 0.0
supybot.abuse.flood.command: False
supybot.abuse.flood.command.invalid: False
supybot.abuse.flood.ctcp: False
supybot.log.level: WARNING
""")
    return [str(VENV / "bin" / "limnoria"), "--allow-root", str(path)]


def run_sopel(directory: Path, port: int, nick: str, channel: str) -> list[str]:
    path = directory / "sopel.cfg"
    path.write_text(f"""
[core]
nick = {nick}
owner = nobody
host = 127.0.0.1
port = {port}
use_ssl = false
channels = "{channel}"
prefix = \\!
homedir = {directory}
extra = {HERE}/peers
enable = sopel_bench
logging_level = WARNING
flood_burst_lines = {QUIET}
flood_empty_wait = 0
flood_max_wait = 0
flood_penalty_ratio = 0
antiloop_threshold = {QUIET}
""")
    # It refuses to run as root, which on a throw-away machine is all there is.
    start = "import os, sys; os.getuid = os.geteuid = lambda: 1; from sopel.cli.run import main; sys.exit(main())"
    return [str(VENV / "bin" / "python"), "-c", start, "start", "-c", str(path)]
