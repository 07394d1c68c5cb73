"""Which hosts there are and how each is reached: [hosts] and [groups], ssh_config, ansible; the HOSTS type."""

from __future__ import annotations

import getpass
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ircops.config import HostLine, Settings
from ircops.errors import OpsError, sentence
from ircops.ssh.ansible import Ansible
from ircops.ssh.ansible_tree import Found
from ircops.ssh.nodes import Nodes
from ircops.ssh.ssh_config import SshConfig

_HOP = re.compile(r"(?:ssh://)?(?:([^@]+)@)?(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?")


@dataclass(frozen=True)
class Host:
    """How to reach one host: its line in [hosts], else that of ansible, over ssh_config, over [ssh]."""

    name: str
    address: str
    port: int = 22
    user: str = ""
    keys: tuple[Path, ...] = ()  # stated ones; () = the agent's and ~/.ssh/id_*
    certificate: Path | None = None  # CertificateFile, besides those that lie by the keys
    only_these_keys: bool = False  # IdentitiesOnly: of the agent's keys, too, only these
    jump: Host | None = None  # reached through it; it may have a jump of its own
    proxy_command: str = ""
    pin: str = ""  # `SHA256:…`: trust this host key and no other
    alias: str = ""  # HostKeyAlias: its name in known_hosts

    def __str__(self) -> str:
        """As in `ops@10.0.0.1:2222 through ops@gate`."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        port = "" if self.port == 22 else f":{self.port}"
        through = f" through {self.jump}" if self.jump else ""
        return (
            f"{self.user}@{address}{port}{through}{' by a ProxyCommand' * bool(self.proxy_command)}"
        )


@dataclass(frozen=True)
class Joined:
    """Hosts from elsewhere than files, as they are at one moment: the machines that `!server` made."""

    hosts: Mapping[str, HostLine] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)  # added to those of this name
    apart: Mapping[str, str] = field(default_factory=dict)  # in no group nor @all, and why


NONE_JOINED = Joined()
Known = tuple[Found, Joined, Nodes]  # what holds at one moment


class Inventory:
    """Every host and group by name. Used from any thread; reads its files again when they change."""

    def __init__(
        self, settings: Settings, joined: Callable[[], Joined] = lambda: NONE_JOINED
    ) -> None:
        """`joined` gives the same object as long as nothing has changed."""
        self._settings = settings
        self._joined = joined
        self._ssh = settings.ssh
        self._config = SshConfig(settings.ssh.config.expanduser())
        self._ansible = Ansible(settings.inventory)
        self._variables = {name: dict(line.variables) for name, line in settings.hosts.items()}
        self._known: Known | None = None
        self._making = threading.Lock()  # of what is known

    @property
    def all(self) -> Any:
        """The NodeSet that @all stands for."""
        return self._nodes().all

    @property
    def groups(self) -> Mapping[str, Any]:
        """The NodeSet of each group that has no fault."""
        return self._nodes().groups

    @property
    def faults(self) -> list[str]:
        """Why some of the files are not as we have them: `file:line: …`."""
        return [*self._ansible.faults, *filter(None, [self._config.fault])]

    def resolve(self, text: str) -> Any:
        """Give the NodeSet that `text` names: `web[1-3]`, `@web,db1`, `@web!web2`, `@a&@b`, `@env:prod`, `web*`.

        Raises OpsError for a host, group or variable that is not known, even in what is taken away (a slip
        there would leave in what was to be left out), for a pattern that matches nothing, for an empty set, and for
        one beyond MOST_HOSTS.
        """
        _, joined, nodes = self._read()
        return nodes.resolve(text, self._config.names | joined.apart.keys())

    def host(self, name: str) -> Host:
        """How `name` is reached. Raises OpsError when it is not known, or cannot be reached by what is said of it."""
        known = self._known
        if known is None or known[1] is not self._joined():  # a machine is reached once it is made
            known = self._read()
        _, joined, nodes = known
        others = self._config.names | joined.apart.keys()
        if name not in nodes.names and name not in others:
            raise OpsError(nodes.unknown([name], others))
        return self._host(name, known)

    def variables(self, name: str) -> Mapping[str, str]:
        """What [hosts] says of `name` beyond how it is reached: `env=prod`."""
        return self._nodes().variables.get(name, {})

    def check(self) -> tuple[list[str], list[str]]:
        """Faults, and what is merely worth saying, each `file:line: …`; reaches no host."""
        settings = self._settings
        faults, notes = map(list, self._ansible.check())
        found, _, nodes = self._read()
        for section, ours, theirs in (
            ("hosts", settings.hosts, found.hosts),
            ("groups", settings.groups, found.groups),
        ):
            for name in ours:
                if name in theirs:
                    where = settings.place(section, name)
                    notes.append(f"{where}: {name} is in the inventory, too; this line counts")
        try:
            others = self._config.names
        except OpsError as error:
            return [*faults, error.message], notes
        for name in settings.groups:
            try:
                nodes.resolve(f"@{name}", others)
            except OpsError as error:
                faults.append(f"{settings.place('groups', name)}: {sentence(error)}")
        return faults, notes

    def _nodes(self) -> Nodes:
        return self._read()[2]

    def _read(self) -> Known:
        """What holds now; made anew when an inventory was read anew, by one thread while others wait for it."""
        found = self._ansible.found()
        with self._making:
            joined, known = self._joined(), self._known
            if known is None or known[0] is not found or known[1] is not joined:
                known = self._known = (found, joined, self._made(found, joined))
            return known

    def _made(self, found: Found, joined: Joined) -> Nodes:
        ready = {name: line for name, line in joined.hosts.items() if name not in joined.apart}
        hosts = dict.fromkeys([*self._settings.hosts, *found.hosts, *ready])
        texts, groups = dict(self._settings.groups), dict(found.groups)
        for name, provider in self._settings.providers.items():  # known before it has a machine
            groups.setdefault(provider.group or name, [])
        for name, members in joined.groups.items():
            if name in texts:
                texts[name] = ",".join([texts[name], *members])
            else:
                groups[name] = [*groups.get(name, ()), *members]
        variables = {name: dict(line.variables) for name, line in ready.items()} | self._variables
        return Nodes(hosts, texts, groups, variables)

    def _host(
        self,
        name: str,
        known: Known,
        path: tuple[str, ...] = (),
        jump: Host | None = None,
    ) -> Host:
        """`path` are the hosts that are reached through this one; `jump` overrides how it is reached."""
        found, joined, _ = known
        line = self._settings.hosts.get(name)
        if line is None and name in found.why_not:
            raise OpsError(found.why_not[name])
        line = line or found.hosts.get(name) or joined.hosts.get(name)
        if line is None and name in joined.apart:
            raise OpsError(joined.apart[name])
        line = line or HostLine()
        there = self._config.lookup(name)
        keys = (
            [line.key] if line.key else [*map(Path, there.get("identityfile", ())), *self._ssh.key]
        )
        certificate = there.get("certificatefile")
        through = line.jump or there.get("proxyjump", "none")
        if jump is None and through != "none":
            jump = self._through(through, known, (*path, name))
        return Host(
            name=name,
            address=line.address or there["hostname"],
            port=line.port or there["port"],
            user=line.user or there.get("user") or self._ssh.user or getpass.getuser(),
            keys=tuple(key.expanduser() for key in keys),
            certificate=Path(certificate).expanduser() if certificate else None,
            only_these_keys=there.get("identitiesonly", "no") == "yes",
            jump=jump,
            proxy_command="" if jump else there.get("proxycommand") or "",
            pin=line.host_key,
            alias=there.get("hostkeyalias", ""),
        )

    def _through(self, hops: str, known: Known, path: tuple[str, ...]) -> Host | None:
        """The last hop of `[user@]host[:port],…`, each reached through the one before (ssh_config ProxyJump)."""
        last: Host | None = None
        for hop in hops.replace(" ", "").split(","):
            if not (parts := _HOP.fullmatch(hop)):
                raise OpsError(f"{path[-1]}: jump {hop} is not [user@]host[:port]")
            user, name, port = parts[1], parts[2].strip("[]"), parts[3]
            if name == path[-1]:  # `Host *` with a ProxyJump holds for the jump host itself, too
                return None
            if name in path:
                raise OpsError(f"jump hosts in a circle: {' -> '.join((*path, name))}")
            host = self._host(name, known, path, last)
            last = replace(host, user=user or host.user, port=int(port or host.port))
        return last


class HostsType(click.ParamType[Any]):
    """Hosts in a command's arguments: text to a NodeSet, by the inventory of the call."""

    name = "hosts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        inventory = getattr(ctx.obj if ctx else None, "inventory", None)
        if inventory is None:
            raise RuntimeError("HOSTS needs a context whose obj has an inventory")
        try:
            return inventory.resolve(value)
        except OpsError as error:
            self.fail(sentence(error), param, ctx)


HOSTS = HostsType()
