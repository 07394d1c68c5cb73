"""Text to node sets: `web[1-3]`, `@web,db1`, `@web!web2`, `@env:prod`; and what is near a name nobody knows."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException, NodeSetParseError
from ClusterShell.NodeUtils import GroupResolver, GroupResolverError, GroupResolverSourceError

from ircops.errors import OpsError

MOST_HOSTS = 10_000  # that one text may name; a slip like web[1-1000000000] would eat all memory
SHOWN = 200  # characters of a list within a sentence

_SPACES = re.compile(r"\s*([,!&^])\s*|\s+")
_OPERATORS = re.compile(r"[!&^]")  # what is not a union
_OPERAND = re.compile(r"(?:[^\[\],!&^]|\[[^\]]*\]?)+")
_GLOB = re.compile(r"(?!@).*[*?].*")
_BRACKET = re.compile(r"\[([^\]]*)")
_RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)")
_SOURCE = re.compile(r"@([^,!&^:@]+):")

Variables = Mapping[str, Mapping[str, str]]  # of each host


class Nodes:
    """The hosts and groups that can be named, as they are at one moment; never changes."""

    def __init__(
        self,
        hosts: Iterable[str],
        texts: Mapping[str, str],
        groups: Mapping[str, Iterable[str]],
        variables: Variables,
    ) -> None:
        """`texts` are groups in people's words, `groups` others as lists of hosts; the former count."""
        self._hosts = _set(hosts)
        self._texts = {name: _with_commas(text) for name, text in texts.items()}
        self.variables = variables
        self._values = _by_value(variables)
        self.groups: dict[str, Any] = {}  # those without a fault
        for name in groups.keys() - self._texts.keys():
            self.groups[name] = _set(groups[name])
        for name in self._texts:
            with contextlib.suppress(OpsError):  # told to whom names it; the others are still good
                self.groups[name] = self._group(name)
        self.all = self._hosts.copy()
        self.all.updaten(self.groups.values())
        if "all" in self.groups:  # stated by the operator
            self.all = self.groups["all"]
        self.names = frozenset(self._hosts).union(self.all, *self.groups.values())

    def resolve(self, text: str, others: frozenset[str]) -> Any:
        """Give the NodeSet that `text` names; `others` are hosts known from elsewhere. Raises OpsError."""
        text = _with_commas(text)
        hosts = self._parse(text)
        known = self.names | others
        named = self._parse(_OPERATORS.sub(",", text))
        if unknown := [name for name in named if name not in known]:
            raise OpsError(self.unknown(unknown, others))
        for glob in filter(_GLOB.fullmatch, _OPERAND.findall(text)):
            if not self._parse(glob):  # in a union it would be dropped without a word
                raise OpsError(f"{glob} matches no host; known: {_shown(fold(known))}")
        if not hosts:
            raise OpsError(f"{text or 'nothing'} is no host; known: {_shown(fold(known))}")
        return hosts

    def unknown(self, names: list[str], others: frozenset[str]) -> str:
        """The sentence about hosts that are not known, with what is near the first."""
        start = f"unknown host {_shown(fold(names))}; "
        name = names[0]
        known = self.names | others
        if name in self._texts or name in self.groups or name == "all":
            return f"{start}did you mean @{name}?"
        if not known:
            return f"{start}none are known yet: name them in [hosts] or [groups]"
        alike: dict[str, list[str]] = {}  # web[1-4] are alike
        for host in known:
            alike.setdefault(re.sub(r"\d+", "", host), []).append(host)
        near = difflib.get_close_matches(re.sub(r"\d+", "", name), alike, 1)
        return f"{start}known: {_shown(fold(alike[near[0]] if near else known))}"

    def _group(self, name: str, path: tuple[str, ...] = ()) -> Any:
        """What @name holds; `path` are the groups whose text asks, outermost first."""
        if name in path:
            raise OpsError(f"group @{name} holds itself: @{' -> @'.join((*path, name))}")
        if name in self.groups:
            return self.groups[name]
        if name in self._texts:
            return self._parse(self._texts[name], (*path, name))
        if name == "all":  # within a group it is the hosts, or each such group would hold itself
            return self._hosts if path else self.all
        names = sorted({*self._texts, *self.groups, "all"})
        near = difflib.get_close_matches(name, names, 1)
        hint = f" did you mean @{near[0]}?" if near else ""
        listed = _shown(" ".join("@" + each for each in names))
        raise OpsError(f"unknown group @{name};{hint} groups: {listed}")

    def _parse(self, text: str, path: tuple[str, ...] = ()) -> Any:
        if _size(text) > MOST_HOSTS:
            raise OpsError(f"{text} is more than {MOST_HOSTS} hosts; name fewer")
        resolver = GroupResolver(_Source("groups", lambda name: self._group(name or "all", path)))
        for variable in self._values.keys() & set(_SOURCE.findall(text)):
            resolver.add_source(_Source(variable, self._having(variable)))
        try:
            hosts = NodeSet(text, resolver=resolver)
        except GroupResolverSourceError as error:
            raise OpsError(self._unknown_variable(str(error))) from None
        except (NodeSetException, GroupResolverError, ValueError) as error:
            raise OpsError(f"{text} is no host set: {error}") from None
        # a set of plain names from here on: what is done to it must not ask for groups again
        return NodeSet(hosts, resolver=RESOLVER_NOGROUP)

    def _having(self, variable: str) -> Callable[[str], Any]:
        """What @variable:value holds; without a value, all that have the variable."""
        values = self._values[variable]

        def having(value: str) -> Any:
            if value and value not in values:
                known = _shown(" ".join(f"@{variable}:{each}" for each in sorted(values)))
                raise OpsError(f"no host has {variable}={value}; there are {known}")
            wanted = [values[value]] if value else values.values()
            return _set(host for hosts in wanted for host in hosts)

        return having

    def _unknown_variable(self, name: str) -> str:
        known = " ".join(f"@{variable}:…" for variable in sorted(self._values))
        return f"no host has a variable {name}; " + (
            f"there are {_shown(known)}" if known else f"give them one in [hosts]: web1 = {name}=…"
        )


class _Source:
    """What ClusterShell asks when it meets an @name, a `*` or an @source:name; stands in for its group files."""

    has_reverse = False

    def __init__(self, name: str, hosts: Callable[[str], Any]) -> None:
        self.name = name
        self._hosts = hosts

    def resolv_map(self, group: str) -> str:
        return str(self._hosts(group))

    def resolv_list(self) -> list[str]:
        return []  # for `@@`, the groups' names as if they were hosts: nobody wants that

    def resolv_all(self) -> str:
        return str(self._hosts(""))


def fold(names: Iterable[str]) -> str:
    """Names as one node set: `web[1-3,7]`."""
    return str(_set(names))


@lru_cache(maxsize=1024)
def unfolded(hosts: str) -> frozenset[str]:
    """The names in what `fold` gave; itself, if that is no node set."""
    try:
        return frozenset(NodeSet(hosts, resolver=RESOLVER_NOGROUP))
    except NodeSetParseError:
        return frozenset({hosts})


def _set(names: Iterable[str]) -> Any:
    return NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)


def _by_value(variables: Variables) -> dict[str, dict[str, list[str]]]:
    """The hosts of each value of each variable."""
    found: dict[str, dict[str, list[str]]] = {}
    for host, mine in variables.items():
        for variable, value in mine.items():
            found.setdefault(variable, {}).setdefault(value, []).append(host)
    return found


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
