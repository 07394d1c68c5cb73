"""Which hosts there are and how each is reached: node sets and @groups, [hosts], ssh_config; the HOSTS type."""

from __future__ import annotations

import contextlib
import difflib
import getpass
import logging
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from ClusterShell.NodeUtils import GroupResolver, GroupResolverError
from paramiko import SSHConfig, SSHException

from ircops.config import HostLine, Settings
from ircops.errors import OpsError, sentence

log = logging.getLogger(__name__)

MOST_HOSTS = 10_000  # that one text may name; a slip like web[1-1000000000] would eat all memory
SHOWN = 200  # characters of a list within a sentence

_SPACES = re.compile(r"\s*([,!&^])\s*|\s+")
_OPERATORS = re.compile(r"[!&^]")  # what is not a union
_OPERAND = re.compile(r"(?:[^\[\],!&^]|\[[^\]]*\]?)+")
_BRACKET = re.compile(r"\[([^\]]*)")
_RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)")
_HOP = re.compile(r"(?:ssh://)?(?:([^@]+)@)?(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?")
_HOST_LINE = re.compile(r"\s*host(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_INCLUDE_LINE = re.compile(r"\s*include\b", re.IGNORECASE)


@dataclass(frozen=True)
class Host:
    """How to reach one host: its line in [hosts], over ssh_config, over [ssh]."""

    name: str
    address: str
    port: int = 22
    user: str = ""
    keys: tuple[Path, ...] = ()  # stated ones; () = the agent's and ~/.ssh/id_*
    only_these_keys: bool = False  # IdentitiesOnly: of the agent's keys, too, only these
    jump: Host | None = None  # reached through it; it may have a jump of its own
    proxy_command: str = ""
    pin: str = ""  # `SHA256:…`: trust this host key and no other
    alias: str = ""  # HostKeyAlias: its name in known_hosts


class Inventory:
    """Every host and group by name. Used from any thread; reads ssh_config again when it changes."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = settings.hosts
        self._ssh = settings.ssh
        self._config = _SshConfig(settings.ssh.config.expanduser())
        self._texts = {name: _with_commas(text) for name, text in settings.groups.items()}
        self._groups: dict[str, Any] = {}
        for name in self._texts:
            with contextlib.suppress(OpsError):  # told to whom names it; the others are still good
                self._groups[name] = self._group(name)
        self.all = NodeSet.fromlist(list(self._hosts), resolver=RESOLVER_NOGROUP)
        self.all.updaten(self._groups.values())
        if "all" in self._groups:  # stated by the operator
            self.all = self._groups["all"]
        self._names = frozenset(self._hosts).union(self.all, *self._groups.values())

    @property
    def groups(self) -> dict[str, Any]:
        """The NodeSet of each group of [groups] that has no fault."""
        return dict(self._groups)

    def resolve(self, text: str) -> Any:
        """Give the NodeSet that `text` names: `web[1-3]`, `@web,db1`, `@web!web2`, `@a&@b`, `@a^@b`, `web*`.

        Raises OpsError for a host or group that is not known, even in what is taken away (a slip there
        would leave in what was to be left out), for an empty set, and for one beyond MOST_HOSTS.
        """
        text = _with_commas(text)
        hosts = self._parse(text)
        known = self._names | self._config.names
        named = self._parse(_OPERATORS.sub(",", text))
        if unknown := [name for name in named if name not in known]:
            raise OpsError(self._unknown_host(unknown))
        if not hosts:
            raise OpsError(f"{text or 'nothing'} is no host; known: {_shown(fold(known))}")
        return hosts

    def host(self, name: str) -> Host:
        """How `name` is reached. Raises OpsError when it is not known or its ssh_config is faulty."""
        if name not in self._names and name not in self._config.names:
            raise OpsError(self._unknown_host([name]))
        return self._host(name)

    def _group(self, name: str, path: tuple[str, ...] = ()) -> Any:
        """What @name holds; `path` are the groups whose text asks, outermost first."""
        if name in path:
            raise OpsError(f"group @{name} holds itself: @{' -> @'.join((*path, name))}")
        if name in self._groups:
            return self._groups[name]
        if name in self._texts:
            return self._parse(self._texts[name], (*path, name))
        if (
            name == "all"
        ):  # in the text of a group that is [hosts], or each such group would hold itself
            return (
                NodeSet.fromlist(list(self._hosts), resolver=RESOLVER_NOGROUP) if path else self.all
            )
        raise OpsError(self._unknown_group(name))

    def _parse(self, text: str, path: tuple[str, ...] = ()) -> Any:
        if _size(text) > MOST_HOSTS:
            raise OpsError(f"{text} is more than {MOST_HOSTS} hosts; name fewer")
        try:
            hosts = NodeSet(text, resolver=GroupResolver(_Groups(self._group, path)))
        except GroupResolverError as error:  # @source:group, which we do not have
            raise OpsError(self._unknown_group(str(error))) from None
        except (NodeSetException, ValueError) as error:
            raise OpsError(f"{text} is no host set: {error}") from None
        # a set of plain names from here on: what is done to it must not ask for groups again
        return NodeSet(hosts, resolver=RESOLVER_NOGROUP)

    def _unknown_group(self, name: str) -> str:
        names = sorted({*self._texts, "all"})
        near = difflib.get_close_matches(name, names, 1)
        hint = f" did you mean @{near[0]}?" if near else ""
        return f"unknown group @{name};{hint} groups: {_shown(' '.join('@' + n for n in names))}"

    def _unknown_host(self, unknown: list[str]) -> str:
        start = f"unknown host {_shown(fold(unknown))}; "
        name = unknown[0]
        known = self._names | self._config.names
        if name in self._texts or name == "all":
            return f"{start}did you mean @{name}?"
        if not known:
            return f"{start}none are known yet: name them in [hosts] or [groups]"
        alike: dict[str, list[str]] = {}  # web[1-4] are alike
        for host in known:
            alike.setdefault(re.sub(r"\d+", "", host), []).append(host)
        near = difflib.get_close_matches(re.sub(r"\d+", "", name), alike, 1)
        return f"{start}known: {_shown(fold(alike[near[0]] if near else known))}"

    def _host(self, name: str, path: tuple[str, ...] = (), jump: Host | None = None) -> Host:
        """`path` are the hosts that are reached through this one; `jump` overrides how it is reached."""
        line = self._hosts.get(name, HostLine())
        there = self._config.lookup(name)
        keys = (
            [line.key] if line.key else [*map(Path, there.get("identityfile", ())), *self._ssh.key]
        )
        through = line.jump or there.get("proxyjump", "none")
        if jump is None and through != "none":
            jump = self._through(through, (*path, name))
        return Host(
            name=name,
            address=line.address or there["hostname"],
            port=line.port or there["port"],
            user=line.user or there.get("user") or self._ssh.user or getpass.getuser(),
            keys=tuple(key.expanduser() for key in keys),
            only_these_keys=there.get("identitiesonly", "no") == "yes",
            jump=jump,
            proxy_command="" if jump else there.get("proxycommand") or "",
            pin=line.host_key,
            alias=there.get("hostkeyalias", ""),
        )

    def _through(self, hops: str, path: tuple[str, ...]) -> Host | None:
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
            host = self._host(name, path, last)
            last = replace(host, user=user or host.user, port=int(port or host.port))
        return last


class _Groups:
    """What ClusterShell asks when it meets an @name or a `*`; stands in for group files of its own."""

    name = "ircops"
    has_reverse = False

    def __init__(self, group: Callable[[str, tuple[str, ...]], Any], path: tuple[str, ...]) -> None:
        self._group = group
        self._path = path

    def resolv_map(self, group: str) -> str:
        return str(self._group(group, self._path))

    def resolv_list(self) -> list[str]:
        return []  # for `@@`, the groups' names as if they were hosts: nobody wants that

    def resolv_all(self) -> str:
        return str(self._group("all", self._path))


class _SshConfig:
    """~/.ssh/config as paramiko reads it, parsed when it changed; no file is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None  # modified (ns), size
        self._config = SSHConfig()
        self._names: frozenset[str] = frozenset()
        self._found: dict[str, dict[str, Any]] = {}  # kept: a lookup may ask DNS who we are

    @property
    def names(self) -> frozenset[str]:
        """The hosts of its Host lines, patterns left out."""
        with self._lock:
            self._refresh()
            return self._names

    def lookup(self, name: str) -> dict[str, Any]:
        """Its options for `name`, in lower case; always with hostname and port."""
        with self._lock:
            self._refresh()
            if name not in self._found:
                try:
                    found = dict(self._config.lookup(name))
                    found["port"] = int(found.get("port", 22))
                except (SSHException, ValueError, KeyError, ImportError) as error:
                    raise OpsError(f"{self._path}: {name}: {error}") from None
                self._found[name] = found
            return self._found[name]

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            text = self._path.read_text() if stamp != self._stamp else ""
        except FileNotFoundError:
            stamp, text = (0, 0), ""
        except (OSError, ValueError) as error:
            raise OpsError(f"{self._path}: cannot be read: {error}") from None
        if stamp == self._stamp:
            return
        try:
            config = SSHConfig.from_text(text)
            names = frozenset(_host_names(text.splitlines()))
        except (SSHException, ValueError) as error:
            raise OpsError(f"{self._path}: {error}") from None
        self._config, self._names, self._found, self._stamp = config, names, {}, stamp


def _host_names(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if _INCLUDE_LINE.match(line):
            log.warning("ssh_config: '%s' is passed over; say it here, or in [hosts]", line.strip())
        if parts := _HOST_LINE.match(line):
            yield from (name for name in shlex.split(parts[1]) if not set(name) & set("*?!"))


def fold(names: Iterable[str]) -> str:
    """Names as one node set: `web[1-3,7]`."""
    return str(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP))


def _with_commas(text: str) -> str:
    """People separate hosts by spaces and new lines as well."""
    return _SPACES.sub(lambda match: match[1] or ",", text.strip())


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… (!hosts lists all)"


def _size(text: str) -> int:
    """At least how many hosts a node set spells out; known before ClusterShell makes them all."""
    total = 0
    for operand in _OPERAND.findall(text):
        size = 1
        for inside in _BRACKET.findall(operand):
            size *= sum(_width(part) for part in inside.split(","))
        total += size
    return total


def _width(part: str) -> int:
    if not (bounds := _RANGE.match(part)):
        return 1
    if max(map(len, bounds.groups())) > 9:
        return MOST_HOSTS + 1
    return abs(int(bounds[2]) - int(bounds[1])) + 1


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
