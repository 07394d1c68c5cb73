"""How a value is written in ircops.ini: one reader for each type that config.py uses.

A reader takes the text and gives the value, or raises ValueError with what is allowed.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import time
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ircops.config import Address, HostLine, Join, Secret
from ircops.kinds import Hours, Megabytes, Names, Percent, Seconds, Where
from ircops.policy import Role, role_named
from ircops.shapes import CHANNEL, Wrong

Reader = Callable[[str], Any]

BOOLEAN = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds


@dataclass(frozen=True)
class Key:
    """What config.py says of one key."""

    field: str
    hint: Any
    default: Any

    def read(self, text: str) -> Any:
        """The value; no text is the default, where the default is empty."""
        if not text and self.default in ("", (), None):
            return self.default
        return reader(self.hint)(text)


@cache
def keys(section: Any) -> dict[str, Key]:
    """The keys of a section's dataclass, by their names in the file."""
    found = {}
    hints = get_type_hints(section, include_extras=True)
    for field in fields(section):
        name, hint = field.name, hints[field.name]
        if get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], str):
            name, hint = (
                hint.__metadata__[0],
                hint.__origin__,
            )  # the field `into` is "in" in the file
        found[name] = Key(field.name, hint, field.default)
    return found


@cache
def reader(hint: Any) -> Reader:
    """The reader of a type: one of READERS, or made of them for Annotated, Optional, Literal and tuples."""
    if hint in READERS:
        return READERS[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _checked(reader(inner[0]), inner[1:])
    if origin is Literal:
        return _one_of(inner)
    if origin is tuple:
        return _each(reader(inner[0]))
    if origin in (Union, types.UnionType):
        return reader(next(kind for kind in inner if kind is not types.NoneType))
    raise TypeError(f"no reader for {hint}, which config.py uses")


def _checked(read: Reader, checks: tuple[Callable[[Any], object], ...]) -> Reader:
    def read_and_check(text: str) -> Any:
        value = read(text)
        for check in checks:
            check(value)
        return value

    return read_and_check


def _one_of(words: tuple[str, ...]) -> Reader:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"it is {' or '.join(words)}")
        return text

    return read


def _each(read: Reader) -> Reader:
    def read_all(text: str) -> tuple[Any, ...]:
        values = []
        for word in re.findall(r"[^\s,]+", text):
            try:
                values.append(read(word))
            except ValueError as wrong:
                raise Wrong(getattr(wrong, "shown", word), str(wrong)) from None
        return tuple(values)

    return read_all


def _line(text: str) -> str:
    if re.search(r"[\x00-\x08\n-\x1f]", text):
        raise Wrong(
            text.split("\n")[0], "it is one line, but the next is indented and continues it"
        )
    return text


def _secret(text: str) -> Secret:
    if "\n" in text:
        raise Wrong("***", "it is one line, but the next is indented and continues it")
    return Secret(_line(text))


def _where(text: str) -> str:
    scheme, is_url, rest = _line(text).partition("://")
    if is_url and scheme not in ("sqlite", "postgresql+psycopg"):
        raise Wrong(scheme, "it is empty, a SQLite file, or postgresql+psycopg://USER@HOST/NAME")
    return Secret(text) if is_url and re.match(r"[^/@]*:.*@", rest) else text


def _boolean(text: str) -> bool:
    if text.lower() not in BOOLEAN:
        raise ValueError("it is yes or no")
    return BOOLEAN[text.lower()]


def _number(pattern: str, allowed: str, most: float = float("inf")) -> Callable[[str], float]:
    """Make a reader of the first group of `pattern`, which admits no sign: nothing here is negative."""

    def read(text: str) -> float:
        match = re.fullmatch(pattern, text, re.ASCII)
        if not match or float(match[1]) > most:
            raise ValueError(allowed)
        return float(match[1])

    return read


_whole = _number(r"(\d+)", "it is a whole number, 0 or more")
_duration = _number(r"(\d+(?:\.\d+)?) ?[smhd]?", "it is a time such as 90, 90s, 5m, 2h or 1d")


def _hours(text: str) -> Hours:
    found = re.fullmatch(r"(\d\d?):(\d\d) ?[-–] ?(\d\d?):(\d\d)", text, re.ASCII)
    try:
        begin, end = (
            [time(int(found[n]), int(found[n + 1])) for n in (1, 3)] if found else [time()] * 2
        )
    except ValueError:
        begin = end = time()
    if begin == end:
        raise ValueError("it is a part of the day, such as 22:00-07:00")
    return Hours(begin, end)


def _path(text: str) -> Path:
    path = Path(_line(text))
    try:
        path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home directory") from None
    return path


def _host_and_port(text: str) -> tuple[str, int]:
    """`host:port` or `[::1]:port`; port 0 if none is given."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@=#;\[\]]+))(?::(\d+))?", text, re.ASCII)
    if not match:
        raise ValueError("it is host:port, or [::1]:port")
    if match[3] and not 0 < int(match[3]) < 65536:
        raise ValueError("a port is 1 to 65535")
    return match[1] or match[2], int(match[3] or 0)


def _address(text: str) -> Address:
    address = Address(*_host_and_port(text))
    if not address.port:
        raise ValueError("it needs its port: host:port")
    return address


def _join(text: str) -> Join:
    name, _, key = text.partition(":")
    if not re.fullmatch(CHANNEL, name):
        raise Wrong(name, "a channel is #name, or #name:KEY")
    return Join(name, Secret(key))


def _host(text: str) -> HostLine:
    """`10.0.0.1:22 user=ops key=~/.ssh/id jump=bastion host_key=SHA256:… env=prod`; any part may be missing."""
    known = {name: key for name, key in keys(HostLine).items() if name != "variables"}
    values: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        try:
            if equals and key in known:
                values[key] = known[key].read(value)
            elif near := get_close_matches(key, known, 1, 0.75) if equals else []:
                raise ValueError(f"did you mean {near[0]}=?")
            elif equals and re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
                variables[key] = value
            elif equals or values or variables:
                raise ValueError(f"it is an address, then any of {'= '.join([*known][1:])}=")
            else:
                values["address"], values["port"] = _host_and_port(word)
        except ValueError as wrong:
            raise Wrong(word, str(wrong)) from None
    return HostLine(**values, variables=tuple(variables.items()))


def expand(text: str) -> list[str]:
    """The names in the name of a line of [hosts]: `web1`, or `web[01-12,15]` for several."""
    match = re.fullmatch(r"([\w.-]*)(?:\[([\d,-]+)\])?([\w.-]*)", text, re.ASCII)
    if not match or not text:
        raise ValueError(f"{text} is no name; write web1 or web[1-3]")
    if not match[2]:
        return [text]
    names = []
    for part in match[2].split(","):
        ends = part.split("-")
        if len(ends) > 2 or not all(ends) or int(ends[0]) > int(ends[-1]):
            raise ValueError(f"{text} is no range of names; write web[1-3] or web[1,3]")
        numbers = range(int(ends[0]), int(ends[-1]) + 1)
        names += [f"{match[1]}{number:0{len(ends[0])}}{match[3]}" for number in numbers]
    return names


READERS: dict[Any, Reader] = {
    str: _line,
    Secret: _secret,
    bool: _boolean,
    int: lambda text: int(_whole(text)),
    Megabytes: lambda text: int(_whole(text.removesuffix("MB").rstrip())),
    float: _number(r"(\d+(?:\.\d+)?)", "it is a number, 0 or more"),
    Seconds: lambda text: _duration(text) * UNITS.get(text[-1], 1),
    Where: _where,
    Percent: _number(r"(\d+(?:\.\d+)?) ?%?", "it is 0 to 100, with a % or without", most=100),
    Hours: _hours,
    Path: _path,
    Address: _address,
    Join: _join,
    HostLine: _host,
    Names: lambda text: tuple(
        " ".join(name.split()) for name in re.split(r"[,\n]", text) if name.strip()
    ),
    Role: lambda text: role_named(_one_of(tuple(str(role) for role in Role if role))(text)),
}
