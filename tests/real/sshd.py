"""A real OpenSSH sshd on loopback: each of 127.0.1.1 … 127.0.1.9 is a host. Nothing of it touches ~/.ssh."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ircops import config

HOSTS = {f"web{number}": f"127.0.1.{number}" for number in range(1, 10)}
PATIENCE = 10.0  # seconds it may take to start or to end

# UsePAM needs root. SetEnv marks all that is started, and keeps it off the developer's ~/.bashrc;
# a program in bin/ there stands before the system's of that name.
CONFIG = """\
Port {port}
{listen}
HostKey {at}/host_ed25519
HostKey {at}/host_ecdsa
PidFile none
AuthorizedKeysFile {at}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 200:30:400
MaxSessions 100
LoginGraceTime 20
SetEnv {mark} HOME={at} PATH={at}/bin:{path}
Subsystem sftp internal-sftp -d {at}
"""


@dataclass(frozen=True)
class Sshd:
    """A server that runs, and the files to reach it with."""

    directory: Path
    port: int
    user: str
    mark: str  # in the environment of every command
    process: subprocess.Popen[bytes]

    @property
    def key(self) -> Path:
        """The private key that opens it."""
        return self.directory / "client"

    @property
    def wrong_key(self) -> Path:
        return self.directory / "stranger"

    @property
    def known_hosts(self) -> Path:
        """Holds the ed25519 host key for all addresses."""
        return self.directory / "known_hosts"

    def host_key(self, kind: str = "ed25519") -> str:
        """The public host key as on a line of known_hosts: type and base64."""
        return " ".join((self.directory / f"host_{kind}.pub").read_text().split()[:2])

    def line(self, name: str, **fields: Any) -> config.HostLine:
        """The line of [hosts] for one of ours."""
        return config.HostLine(**{"address": HOSTS[name], "port": self.port, **fields})

    def settings(
        self, hosts: dict[str, config.HostLine] | None = None, **ssh: Any
    ) -> config.Settings:
        """Settings with web1 … web9, or `hosts`, groups `web` and `db`, and these [ssh] keys."""
        defaults: dict[str, Any] = {
            "user": self.user,
            "key": (self.key,),
            "config": self.directory / "no_ssh_config",
            "known_hosts": (self.known_hosts,),
            "agent": False,
        }
        return config.Settings(
            hosts={name: self.line(name) for name in HOSTS} if hosts is None else hosts,
            groups={"web": "web[1-3]", "db": "web4"} if hosts is None else {},
            ssh=config.Ssh(**{**defaults, **ssh}),
        )

    def sessions(self) -> list[int]:
        """The processes of sshd that serve a connection each (as root each has two)."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = entry.read_text().rpartition(")")
                if name.endswith("(sshd"):
                    parents[int(entry.parent.name)] = int(rest.split()[1])
        ours = {self.process.pid}
        for _ in range(3):  # generations
            ours |= {pid for pid, parent in parents.items() if parent in ours}
        return sorted(ours - {self.process.pid})

    def commands(self) -> list[int]:
        """The processes that commands have started, also those that outlived their session."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
        return found


@contextlib.contextmanager
def serve(directory: Path, **options: object) -> Iterator[Sshd]:
    """Run a server in `directory` for the length of the block; everything it started ends with it.

    `options` are for sshd_config, and go before ours: the first counts.
    """
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no sshd here: apt install openssh-server"
        )
    make_keys(directory)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it confines itself
    server = _start(program, directory, options)
    try:
        yield server
    finally:
        _end(server)


def make_keys(directory: Path) -> None:
    """The keys of a server and of who may log in."""
    for name, kind in (
        ("client", "ed25519"),
        ("stranger", "ed25519"),
        ("host_ed25519", "ed25519"),
        ("host_ecdsa", "ecdsa"),
    ):
        if not (directory / name).exists():  # a test may have made it, to certify it
            subprocess.run(
                ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", directory / name], check=True
            )
    shutil.copy(directory / "client.pub", directory / "authorized_keys")


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _start(program: str, directory: Path, options: dict[str, object]) -> Sshd:
    log = directory / "sshd.log"
    user = pwd.getpwuid(os.geteuid()).pw_name
    mark = f"IRCOPS_TEST={secrets.token_hex(8)}"
    everywhere = "ListenAddress" in options  # ours would be in its way
    given = "".join(f"{name} {value}\n" for name, value in options.items())
    addresses = ["127.0.0.1", *HOSTS.values()]
    listen = "\n".join(f"ListenAddress {address}" for address in addresses if not everywhere)
    for _ in range(5):  # somebody may take the port between our look and sshd's
        port = free_port()
        (directory / "sshd_config").write_text(
            given
            + CONFIG.format(
                port=port, listen=listen, at=directory, mark=mark, path=os.environ["PATH"]
            )
        )
        process = subprocess.Popen([program, "-D", "-f", directory / "sshd_config", "-E", log])
        server = Sshd(directory, port, user, mark, process)
        if said_ssh(process, "127.0.0.1", port, PATIENCE):
            lines = [f"[{address}]:{port} {server.host_key()}\n" for address in addresses]
            server.known_hosts.write_text("".join(lines))
            return server
        process.kill()
        process.wait()
    raise RuntimeError(f"sshd does not start: {log.read_text()}")


def said_ssh(process: subprocess.Popen[bytes], address: str, port: int, seconds: float) -> bool:
    """Whether an SSH server greets there before the process ends or the time is up."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1) as tcp:
            return tcp.recv(4) == b"SSH-"
        time.sleep(0.05)
    return False


def _end(server: Sshd) -> None:
    """Stop listening, then end the sessions and what is left of the commands."""
    server.process.send_signal(signal.SIGSTOP)  # no new sessions while we count them
    sessions = server.sessions()
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + PATIENCE
    while (
        left := [pid for pid in {*sessions, *server.commands()} if _is_there(pid)]
    ) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert not left, f"sshd left processes behind: {left}"


def _is_there(pid: int) -> bool:
    """It runs; a zombie of somebody else's does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of the run."""
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server
