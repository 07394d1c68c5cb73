"""The [access …] sections, compiled once: which of them decides about what is asked.

A section is about what is asked: a command, values of its arguments, hosts. The first in the file that fits
decides; if it fits only a part of what is asked, because other hosts or values are named as well, the
sections after it have their say too, and all must allow it.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import click

from ircops.config import Access, Settings
from ircops.errors import OpsError, sentence
from ircops.shapes import did_you_mean

Values = Mapping[str, tuple[str, ...]]  # of arguments, by name


class Fit(enum.IntEnum):
    """How a rule and what is asked go together; of several conditions the least counts."""

    NONE = 0
    ALIKE = 1  # but for capitals, spaces or letters that look the same: somebody may be misled
    PART = 2
    WHOLE = 3


@dataclass(frozen=True)
class Rule:
    """One section."""

    name: str
    section: Access
    place: str  # ircops.ini:12
    when: Values  # patterns
    hosts: Any = None  # a NodeSet, as of when the settings were read; None = the section names none
    resolve: Callable[[str], Any] | None = None

    @property
    def is_conditional(self) -> bool:
        """Whether it fits depends on the arguments."""
        return bool(self.when) or self.hosts is not None

    def hosts_now(self) -> Any:
        """The NodeSet it is about at this moment, for inventories change. Raises OpsError."""
        return self.resolve(self.section.hosts) if self.resolve else self.hosts

    def is_about(self, command: str) -> bool:
        """`schedule` is about `schedule run`, too."""
        return any(_covers(pattern, command) for pattern in self.section.command)

    def fit(self, values: Values) -> tuple[Fit, str]:
        """How the arguments fit; if only ALIKE, also what should have been written: `env=prod`."""
        least, meant = Fit.WHOLE, ""
        for name, patterns in self.when.items():
            fit, pattern = _fit(patterns, values.get(name, ()))
            if fit < least:
                least, meant = fit, f"{name}={pattern}"
        return least, meant

    def shadows(self, later: Rule) -> bool:
        """Nothing is left for `later` where both are about a command."""
        if self.hosts is not None and (later.hosts is None or later.hosts - self.hosts):
            return False
        return all(
            name in later.when and all(_matches(patterns, value) for value in later.when[name])
            for name, patterns in self.when.items()
        )

    @property
    def source(self) -> str:
        return f"{self} ({self.place})"

    def __str__(self) -> str:
        return f"[access {self.name}]"


class Rules:
    """All sections, in the order of the file. `of` is quick: every call asks."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.all = tuple(rules)
        self._of: dict[str, tuple[Rule, ...]] = {}

    def of(self, command: str) -> tuple[Rule, ...]:
        """The rules about `command`, `schedule run` for example."""
        if (found := self._of.get(command)) is None:
            found = tuple(rule for rule in self.all if rule.is_about(command))
            self._of[command] = found
        return found

    def faults(self, root: click.Group, settings: Settings) -> Iterator[str]:
        """Each rule that names what there is not, or that an earlier one leaves nothing to decide."""
        leaves = dict(_leaves(root))
        for number, rule in enumerate(self.all):
            for key, fault in _unknown(rule, leaves):
                yield f"{settings.place(f'access {rule.name}', key)}: {rule} {fault}"
            about = [name for name in leaves if rule.is_about(name)]
            earlier = [
                next((r for r in self.all[:number] if r.is_about(name) and r.shadows(rule)), None)
                for name in about
            ]
            if earlier and all(earlier):
                first = earlier[0]
                assert first is not None
                where = f"{first} in line {first.place.rpartition(':')[2]}"
                yield f"{rule.place}: {rule} is never reached, as {where} decides before; put it above, or drop it"


def compiled(settings: Settings, resolve: Callable[[str], Any], faults: list[str]) -> Rules:
    """The rules of `settings`; hosts that `resolve` does not know are added to `faults`."""
    rules = []
    for name, section in settings.access.items():
        when: dict[str, tuple[str, ...]] = {}
        for condition in section.when:
            argument, _, pattern = condition.partition("=")
            argument = argument.replace("-", "_")
            when[argument] = (*when.get(argument, ()), pattern)
        hosts = None
        try:
            hosts = resolve(section.hosts) if section.hosts else None
        except OpsError as error:
            place = settings.place(f"access {name}", "hosts")
            faults.append(f"{place}: [access {name}] {sentence(error)}")
        place = settings.place(f"access {name}")
        rules.append(Rule(name, section, place, when, hosts, resolve))
    return Rules(rules)


def values_of(arguments: Mapping[str, Any]) -> Values:
    """What click made of the arguments, as texts: `yes` and `no` for a flag, several for several words."""
    return {name: tuple(map(_text, flat(value))) for name, value in arguments.items()}


def flat(value: Any) -> Iterator[Any]:
    """Each single value of an argument, which may be of several words, or be given several times."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from flat(part)
    elif value is not None:
        yield value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.name if isinstance(value, enum.Enum) else str(value)  # click takes an Enum's names


def _fit(patterns: tuple[str, ...], values: tuple[str, ...]) -> tuple[Fit, str]:
    """How the values of one argument fit; what no pattern fits as it is, but in other letters, is ALIKE."""
    if not values:
        return Fit.NONE, ""
    texts = {" ".join(values), *values}
    if all(_matches(patterns, value) for value in values) or _matches(patterns, " ".join(values)):
        return Fit.WHOLE, ""
    alike = ""
    for text in texts:
        if _matches(patterns, text):
            return Fit.PART, ""
        alike = alike or next((p for p in patterns if _is_like(_bare(text), _bare(p))), "")
    return (Fit.ALIKE, alike) if alike else (Fit.NONE, "")


def _matches(patterns: tuple[str, ...], value: str) -> bool:
    return any(_is_like(value, pattern) for pattern in patterns)


def _is_like(value: str, pattern: str) -> bool:
    """`*` and `?` stand for others, brackets for themselves."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


@lru_cache(maxsize=1024)
def _bare(text: str) -> str:
    """What a careless program, or reader, would take `text` for: no capitals, spaces or invisible characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")


def _covers(pattern: str, command: str) -> bool:
    """A pattern means a command and all that is in it."""
    words = command.split()
    return any(_is_like(" ".join(words[:depth]), pattern) for depth in range(1, len(words) + 1))


def _leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Each command that is no group, with the arguments of it and of the groups it is in."""
    for name, command in group.commands.items():
        own = frozenset(p.name for p in command.params if p.name and p.expose_value)
        full = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield full, own
            yield from ((inner, own | names) for inner, names in _leaves(command, full))
        else:
            yield full, own


def _unknown(rule: Rule, leaves: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """Key and sentence of each command and argument that does not exist."""
    for pattern in rule.section.command:
        about = [name for name in leaves if _covers(pattern, name)]
        if not about:
            yield (
                "command",
                f"has {pattern}, but there is no such command{did_you_mean(pattern, leaves)}",
            )
            continue
        names = frozenset().union(*(leaves[name] for name in about))
        for argument in rule.when:
            if argument not in names:
                has = ", ".join(sorted(names)) or "none"
                near = did_you_mean(argument, names) or f"; it has {has}"
                yield "when", f"has {argument}=, but {pattern} has no such argument{near}"
