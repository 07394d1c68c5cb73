"""The SSH clients that bench/ssh.py compares: each opens hosts, runs one command on all of them, and closes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

FANOUT = 64  # hosts at once, for all alike


@dataclass(frozen=True)
class Site:
    """Where the hosts are, and what opens them."""

    port: int
    user: str
    key: str
    known_hosts: str
    hosts: tuple[str, ...]  # addresses


class Peer(Protocol):
    """A client. The first `run` opens the connections; they are kept until `close`."""

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        """What the command said, of each host."""

    def close(self) -> None: ...


class Ircops:
    """Ours, with strict host keys; by exec or by the resident shell."""

    def __init__(self, site: Site, fast: bool) -> None:
        config = importlib.import_module("ircops.config")
        fanout = importlib.import_module("ircops.ssh.fanout")
        inventory = importlib.import_module("ircops.ssh.inventory").Inventory
        pool = importlib.import_module("ircops.ssh.pool").Pool
        ssh = config.Ssh(
            user=site.user,
            key=(Path(site.key),),
            config=Path("/nonexistent"),
            known_hosts=(Path(site.known_hosts),),
            agent=False,
            fanout=FANOUT,
        )
        lines = {host: config.HostLine(host, site.port) for host in site.hosts}
        settings = config.Settings(hosts=lines, ssh=ssh)
        self._inventory = inventory(settings)
        self._fanout = fanout.Fanout(pool(ssh, self._inventory), ssh)
        self._fast = fast
        self._groups: dict[tuple[str, ...], Any] = {}

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        if hosts not in self._groups:
            self._groups[hosts] = self._inventory.resolve(",".join(hosts))
        nodes = self._groups[hosts]
        return [result.stdout for result in self._fanout.run(command, nodes, fast=self._fast)]

    def close(self) -> None:
        self._fanout.close()


class ParallelSsh:
    """parallel-ssh (libssh2, gevent), which checks no host key."""

    def __init__(self, site: Site) -> None:
        self._make: Callable[..., Any] = importlib.import_module("pssh.clients").ParallelSSHClient
        self._site = site
        self._clients: dict[tuple[str, ...], Any] = {}

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        if hosts not in self._clients:
            site = self._site
            self._clients[hosts] = self._make(
                list(hosts), site.user, port=site.port, pkey=site.key, pool_size=FANOUT
            )
        output = self._clients[hosts].run_command(command)
        return ["\n".join(host.stdout) for host in output]

    def close(self) -> None:
        for client in self._clients.values():
            for host in client._host_clients.values():
                with contextlib.suppress(Exception):  # its own at the end of a session
                    host.disconnect()
        self._clients.clear()


class Asyncssh:
    """asyncssh, strict host keys."""

    def __init__(self, site: Site) -> None:
        self._module = importlib.import_module("asyncssh")
        self._site = site
        self._key = self._module.read_private_key(site.key)
        self._known = self._module.read_known_hosts(site.known_hosts)
        self._loop = asyncio.new_event_loop()
        self._open: dict[str, Any] = {}

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        return self._loop.run_until_complete(self._run(command, hosts))

    async def _run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        room = asyncio.Semaphore(FANOUT)

        async def one(host: str) -> str:
            async with room:
                if host not in self._open:
                    self._open[host] = await self._module.connect(
                        host,
                        self._site.port,
                        username=self._site.user,
                        client_keys=[self._key],
                        known_hosts=self._known,
                        agent_path=None,
                        config=None,
                    )
                return str((await self._open[host].run(command)).stdout)

        return await asyncio.gather(*map(one, hosts))

    def close(self) -> None:
        for connection in self._open.values():
            connection.abort()
        self._open.clear()
        self._loop.run_until_complete(asyncio.sleep(0))


class Threads:
    """What one writes first: paramiko's SSHClient, one for each host, in threads."""

    def __init__(self, site: Site) -> None:
        self._paramiko = importlib.import_module("paramiko")
        self._site = site
        self._open: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(FANOUT)

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        return list(self._pool.map(lambda host: self._one(command, host), hosts))

    def _one(self, command: str, host: str) -> str:
        if host not in self._open:
            client = self._paramiko.SSHClient()
            client.load_host_keys(self._site.known_hosts)
            client.connect(
                host,
                self._site.port,
                self._site.user,
                key_filename=self._site.key,
                allow_agent=False,
                look_for_keys=False,
            )
            self._open[host] = client
        return str(self._open[host].exec_command(command)[1].read(), "utf-8")

    def close(self) -> None:
        for client in self._open.values():
            client.close()
        self._open.clear()


class ControlMaster:
    """OpenSSH's ssh, a process for each command, the connections kept by masters. With curve25519, the cheaper one."""

    def __init__(self, site: Site) -> None:
        directory = Path(site.key).parent
        self._config = directory / f"{type(self).__name__}_config"
        self._config.write_text(
            f"Host *\n  Port {site.port}\n  User {site.user}\n  IdentityFile {site.key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {site.known_hosts}\n"
            f"  KexAlgorithms curve25519-sha256\n  ControlMaster auto\n  ControlPersist 300\n"
            f"  ControlPath {directory}/{type(self).__name__}-%h\n  LogLevel ERROR\n"
        )
        self._used: set[str] = set()
        self._pool = ThreadPoolExecutor(FANOUT)

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        self._used.update(hosts)
        return list(self._pool.map(lambda host: self._ssh(host, command), hosts))

    def _ssh(self, *words: str) -> str:
        done = subprocess.run(
            ["ssh", "-F", self._config, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return done.stdout

    def close(self) -> None:
        list(self._pool.map(lambda host: self._ssh("-O", "exit", host), self._used))
        self._used.clear()


class Clush(ControlMaster):
    """clush of ClusterShell, over the same ssh."""

    options: tuple[str, ...] = ("-N",)

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        self._used.update(hosts)
        clush = Path(sys.executable).parent / "clush"
        options = f"-F {shlex.quote(str(self._config))}"
        words = [
            clush,
            "-S",
            *self.options,
            "-f",
            str(FANOUT),
            "-o",
            options,
            "-w",
            ",".join(hosts),
        ]
        done = subprocess.run([*words, command], stdout=subprocess.PIPE, text=True)
        return done.stdout.splitlines()


class Ansible(ControlMaster):
    """`ansible all -m raw` over the same ssh: what it takes where there need be no Python."""

    def run(self, command: str, hosts: tuple[str, ...]) -> list[str]:
        self._used.update(hosts)
        ansible = Path(sys.executable).parent / "ansible"
        words = [ansible, "all", "-i", ",".join(hosts) + ",", "-m", "raw", "-a", command, "-o"]
        settings = {
            "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(str(self._config))}",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_HOME": str(self._config.parent / "ansible"),
        }
        done = subprocess.run(
            [*words, "-f", str(FANOUT)],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return done.stdout.splitlines()


PEERS: dict[str, Callable[[Site], Peer]] = {
    "ircops fast": lambda site: Ircops(site, True),
    "ircops exec": lambda site: Ircops(site, False),
    "parallel-ssh": ParallelSsh,
    "asyncssh": Asyncssh,
    "SSHClient threads": Threads,
    "ControlMaster": ControlMaster,
    "clush": Clush,
    "ansible": Ansible,
}
IN_ONE_PROCESS = ("ircops fast", "ircops exec", "parallel-ssh", "asyncssh")
