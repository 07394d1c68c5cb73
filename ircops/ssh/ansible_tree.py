"""What Ansible inventories say, put together, and what that means for each host."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ircops.config import HostLine
from ircops.ssh.changes import Stamp

# Each under the name it has had since Ansible 2.0.
CONNECTION = {
    "ansible_host": "ansible_host",
    "ansible_ssh_host": "ansible_host",
    "ansible_port": "ansible_port",
    "ansible_ssh_port": "ansible_port",
    "ansible_user": "ansible_user",
    "ansible_ssh_user": "ansible_user",
    "ansible_ssh_private_key_file": "ansible_ssh_private_key_file",
    "ansible_private_key_file": "ansible_ssh_private_key_file",
    "ansible_ssh_common_args": "ansible_ssh_common_args",
    "ansible_connection": "ansible_connection",
}
_SSH = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"})


class Value(NamedTuple):
    """What a variable is set to, and where."""

    text: str
    path: Path
    line: int
    is_vaulted: bool = False

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


Values = dict[str, Value]


@dataclass
class Group:
    """A group as its file has it."""

    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    values: Values = field(default_factory=dict)


@dataclass
class Tree:
    """All that the files say, before it is worked out what that means for a host."""

    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, Values] = field(default_factory=dict)
    group_files: dict[str, Values] = field(default_factory=dict)
    host_files: dict[str, Values] = field(default_factory=dict)
    declared: set[str] = field(default_factory=lambda: {"all", "ungrouped"})
    mentioned: dict[str, str] = field(default_factory=dict)  # groups, and where
    programs: list[Path] = field(default_factory=list)  # that have to be asked
    plugins: list[str] = field(default_factory=list)  # what only ansible can read: `file:line: …`
    faults: list[str] = field(default_factory=list)  # `file:line: …`
    seen: dict[Path, Stamp] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        """The group of that name, new if there is none yet."""
        return self.groups.setdefault(name, Group())

    def add(self, group: str, host: str, values: Values) -> None:
        """Take in a host."""
        self.group(group).hosts[host] = None
        self.hosts.setdefault(host, {}).update(values)


@dataclass(frozen=True)
class Found:
    """What the inventories say, worked out."""

    hosts: Mapping[str, HostLine] = field(default_factory=dict)
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    why_not: Mapping[str, str] = field(default_factory=dict)  # of hosts that we cannot reach


def worked_out(tree: Tree) -> Found:
    """What the tree means for each host: `all` first, parents before children, its own last."""
    members = {name: _members(tree.groups, name, ()) for name in tree.groups}
    parents: dict[str, list[str]] = {}
    for name, group in tree.groups.items():
        for child in group.children:
            parents.setdefault(child, []).append(name)
    depths = {name: _depth(parents, name) for name in tree.groups}
    of: dict[str, list[str]] = {host: [] for host in tree.hosts}
    for name in sorted(tree.groups, key=lambda name: (depths[name], name)):
        for host in members[name] if name != "all" else ():
            of.setdefault(host, []).append(name)
    hosts, why_not = {}, {}
    for host, groups in of.items():
        values: Values = {}
        for layer in _layers(tree, host, ["all", *groups]):
            values |= layer
        try:
            hosts[host] = _line(values)
        except ValueError as error:
            hosts[host], why_not[host] = HostLine(), str(error)
    kept = {name: hosts for name, hosts in members.items() if name not in ("all", "ungrouped")}
    return Found(hosts, kept, why_not)


def _layers(tree: Tree, host: str, groups: list[str]) -> Iterator[Values]:
    """Later ones count ("Using Variables", Understanding variable precedence, 3 to 10)."""
    yield from (tree.groups.get(name, Group()).values for name in groups)
    yield from (tree.group_files.get(name, {}) for name in groups)
    yield tree.hosts.get(host, {})
    yield tree.host_files.get(host, {})


def _members(groups: Mapping[str, Group], name: str, path: tuple[str, ...]) -> list[str]:
    if name in path or name not in groups:  # a circle adds nobody
        return []
    found = dict.fromkeys(groups[name].hosts)
    for child in groups[name].children:
        found |= dict.fromkeys(_members(groups, child, (*path, name)))
    return list(found)


def _depth(parents: Mapping[str, list[str]], name: str, path: tuple[str, ...] = ()) -> int:
    """How far below `all`, by the longest way."""
    above = [parent for parent in parents.get(name, ()) if parent not in path]
    return max((1 + _depth(parents, parent, (*path, name)) for parent in above), default=0)


def _line(values: Values) -> HostLine:
    """The line of [hosts] that these variables amount to. Raises ValueError with what stands against it."""
    for name, value in values.items():
        instead = "give the host a line in [hosts] instead"
        if value.is_vaulted:
            raise ValueError(
                f"{name} is vaulted, which ansible alone can open ({value.where}); {instead}"
            )
        if "{{" in value.text or "{%" in value.text:
            raise ValueError(
                f"{name} is a template, which ansible alone fills in ({value.where}); {instead}"
            )
    connection = values.get("ansible_connection")
    if connection and connection.text not in _SSH:
        raise ValueError(
            f"ansible_connection is {connection.text} ({connection.where}); only ssh is spoken here"
        )
    port, key = values.get("ansible_port"), values.get("ansible_ssh_private_key_file")
    if port and not re.fullmatch(r"[1-9]\d{0,4}", port.text):
        raise ValueError(f"ansible_port is {port.text} ({port.where}); a port is 1 to 65535")
    return HostLine(
        address=values["ansible_host"].text if "ansible_host" in values else "",
        port=int(port.text) if port else 0,
        user=values["ansible_user"].text if "ansible_user" in values else "",
        key=key.path.parent / Path(key.text).expanduser() if key else None,
        jump=_jump(values.get("ansible_ssh_common_args")),
    )


def _jump(arguments: Value | None) -> str:
    """The jump host that arguments of ssh name, in one of the usual ways; of the other options, none matters here."""
    if not arguments:
        return ""
    try:
        words = iter(shlex.split(arguments.text))
        for word in words:
            if word[:2] not in ("-o", "-J"):
                continue
            said = word[2:] or next(words, "")
            if word[:2] == "-J":
                return said
            name, _, rest = re.sub(r"[\s=]+", "=", said, count=1).partition("=")
            if name.lower() == "proxyjump":
                return rest
            if name.lower() == "proxycommand":
                return _hop(rest)
    except ValueError:
        where = arguments.where
        raise ValueError(
            f"ansible_ssh_common_args is more than -J HOST or a ProxyCommand of ssh -W %h:%p HOST ({where}); "
            "give the host a line with jump= in [hosts] instead"
        ) from None
    return ""


def _hop(command: str) -> str:
    """`ssh -q -W %h:%p ops@gate` means the same as a jump through it. Raises ValueError."""
    if command == "none":
        return command
    program, *words = shlex.split(command)
    through = [word for word in words if word not in ("-q", "-W", "%h:%p")]
    if program != "ssh" or "-W" not in words or len(through) != 1 or through[0][0] == "-":
        raise ValueError(command)
    return through[0]
