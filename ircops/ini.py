"""ircops.ini to Settings: every fault found, each with its line and what to write instead.

What may stand in the file is in config.py, how a value is written in values.py; here the file is taken
apart, its `${…}` are filled in, and the settings are put together.
"""

from __future__ import annotations

import configparser
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ircops.config import HostLine, Secret, Settings
from ircops.errors import BadConfig
from ircops.values import READERS, Key, Reader, expand, keys, reader

log = logging.getLogger(__name__)

REFERENCE = re.compile(
    r"\$\{(\w+):([A-Za-z_/~.][^}]*)\}"
)  # ${env:HOME}, but not the shell's ${HOME:-x}


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the settings in the file `path`; the paths in them come out absolute.

    `environment` answers `${env:…}` and says where systemd put credentials and state.
    Raises BadConfig with all faults, in the order of their lines.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        where = "here" if path.parent == Path() else f"in {path.parent}"
        raise BadConfig([f"no {path.name} {where}; write one with: ircops init"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadConfig([f"{path}:{line}: not UTF-8; save the file as UTF-8"]) from None
    except OSError as error:
        raise BadConfig(
            [f"cannot read {path}: {_reason(error)}; run ircops as a user who can"]
        ) from None
    reading = _Reading(path, environment)
    settings = reading.settings(text)
    if reading.faults:
        raise BadConfig([f"{path}:{line}: {sentence}" for line, sentence in sorted(reading.faults)])
    return settings


@dataclass(frozen=True)
class Kind:
    """What may stand in brackets: [bot]; [network NAME]; [hosts], a list whose keys are names."""

    field: str  # of Settings
    holds: Any  # the dataclass of a section, or the type of a list's values
    is_named: bool = False
    is_list: bool = False
    own: tuple[str, ...] = ()  # a list's keys that are no names, but fields of Settings
    of: tuple[str, Any] | None = None  # field and dataclass of those with a name, beside the one

    def takes(self, name: str) -> bool:
        """A section of the kind may have this name, or "", none."""
        return self.is_named == bool(name) or (self.of is not None and bool(name))

    def section(self, name: str) -> Any:
        """The dataclass of the section of this name."""
        return self.of[1] if self.of and name else self.holds


def _kinds() -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        if get_origin(hint) is Annotated:  # a key of the section it names
            word, inner = hint.__metadata__[0], get_args(hint)[0]
            if get_origin(inner) is Mapping:  # [health @db] beside [health]
                kinds[word] = replace(kinds[word], of=(name, get_args(inner)[1]))
            else:
                kinds[word] = replace(kinds[word], own=(name,))
        elif is_dataclass(hint):
            kinds[name] = Kind(name, hint)
        elif get_origin(hint) is Mapping and get_args(hint)[0] is str:
            holds = get_args(hint)[1]
            is_list = holds in READERS or not is_dataclass(holds)
            word = name if is_list else holds.__name__.lower()
            kinds[word] = Kind(name, holds, not is_list, is_list)
    return kinds


FIELDS = get_type_hints(Settings)
KINDS = _kinds()
FORMS = {word: f"[{word} NAME]" if kind.is_named else f"[{word}]" for word, kind in KINDS.items()}


class _Numbered(configparser.RawConfigParser):
    """configparser, made to tell lines: `[bot]` in line 3 is called "3 bot", so twice is seen as twice."""

    SECTCRE = re.compile(r"\[(?P<header>\d+ .*)\]")

    def __init__(self) -> None:
        super().__init__(delimiters="=", empty_lines_in_values=False)
        self._number = 0

    def optionxform(self, optionstr: str) -> str:
        return f"{self._number} {optionstr}"  # called while the line of the key is read

    def faults(self, text: str) -> Iterator[tuple[int, str]]:
        """Read the whole text; give line and sentence for each line that nothing can be made of."""
        try:
            self.read_file(self._lines(text))
        except configparser.ParsingError as error:
            for number, _ in error.errors:
                yield number - 1, "this is neither [section] nor key = value"
        for number, line in enumerate(io.StringIO(text), 1):
            if re.fullmatch(r"\s+(#+[^\s,=#]+[\s,]*)+", line):  # `#deploys` under `channels = #ops`
                yield number, "a line that begins with # is a comment; write channels in one line"

    def _lines(self, text: str) -> Iterator[str]:
        yield "[0 ]\n"  # for what stands before the first section
        for self._number, line in enumerate(io.StringIO(text), 1):
            bare = line.strip()
            is_header = line.startswith("[") or (bare.startswith("[") and bare.endswith("]"))
            yield f"[{self._number} {bare[1:]}\n" if is_header else line


class _Reading:
    """One reading of one file. What is wrong is gathered, so that all of it is told at once."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.faults: list[tuple[int, str]] = []
        self._path = path
        self._base = path.absolute().parent
        self._environment = environment
        self._is_public = bool(path.stat().st_mode & 0o004)
        self._lines: dict[tuple[str, str], int] = {}  # of each section (its key is "") and key
        self._told: set[tuple[str, str]] = set()  # what has a fault: one is enough

    def settings(self, text: str) -> Settings:
        """The settings, which are whole only if `faults` is empty then."""
        ini = _Numbered()
        self.faults += ini.faults(text)
        found: dict[str, dict[str, Any]] = {"bot": {}}
        for header in ini.sections():
            line, title = _numbered(header)
            section = self._section(line, title) if line else ""
            values = found.setdefault(section, {})
            for key, value in ini.items(header):
                number, name = _numbered(key)
                if not line:
                    self._fault(number, "", name, f"{name} stands before any [section]")
                elif section:
                    self._entry(number, section, name, value, values)
        if state := self._environment.get("STATE_DIRECTORY", "").split(":")[0]:  # systemd.exec(5)
            found["bot"].setdefault("state", Path(state))
        settings = self._built(found)
        self._check(settings)
        return settings

    def _fault(self, line: int, section: str, key: str, sentence: str) -> None:
        self.faults.append((line, sentence))
        self._told |= {(section, key), (section, "*")}

    def _section(self, line: int, title: str) -> str:
        """The section that a title means, misspelled or not; "" if it means none."""
        word, _, name = " ".join(title.split()).partition(" ")
        if word not in KINDS:
            word = _nearest(word, KINDS)
            meant = FORMS.get(word, "").replace("NAME", name or "NAME")
            said = f"did you mean {meant}?" if word else f"there are {' '.join(FORMS.values())}"
            self._fault(line, title, "", f"unknown section [{title}]; {said}")
        elif not KINDS[word].takes(name):
            self._fault(line, title, "", f"unknown section [{title}]; did you mean {FORMS[word]}?")
            word = ""
        if not word or not KINDS[word].takes(name):
            return ""
        section = f"{word} {name}".strip()
        before = self._lines.setdefault((section, ""), line)
        if before != line:
            said = f"[{section}] is in line {before} already; make them one"
            self._fault(line, section, "", said)
        return section

    def _entry(self, line: int, section: str, name: str, text: str, values: dict[str, Any]) -> None:
        """Take one `name = text` into `values`, or say what is wrong with it."""
        word, _, title = section.partition(" ")
        kind = KINDS[word]
        try:
            if name in kind.own:
                self._mark(line, section, name)
                values[name] = self._value(line, name, text, reader(FIELDS[name]))
            elif kind.is_list:
                names, value = expand(name), self._value(line, name, text, reader(kind.holds))
                if len(names) > 1 and isinstance(value, HostLine) and value.address:
                    raise ValueError(f"{name} cannot share an address; write a line for each host")
                for each in names:
                    self._mark(line, section, each)
                    values[each] = value
            else:
                key = self._key(line, section, name, keys(kind.section(title)))
                values[key.field] = self._value(line, name, text, key.read)
        except ValueError as fault:
            self._fault(line, section, name, str(fault))

    def _key(self, line: int, section: str, name: str, known: dict[str, Key]) -> Key:
        """The key that a name means, misspelled or not."""
        if name in known:
            self._mark(line, section, name)
            return known[name]
        unknown = f'unknown key "{name}" in [{section}]'
        near = _nearest(name, known)
        if not near:
            raise ValueError(f"{unknown}; it has {', '.join(known)}")
        self._fault(line, section, near, f'{unknown}; did you mean "{near}"?')
        return known[near]  # on with that, to find what else is wrong

    def _mark(self, line: int, section: str, name: str) -> None:
        before = self._lines.setdefault((section, name), line)
        if before != line:
            raise ValueError(f"{name} is in line {before} already; keep one")

    def _value(self, line: int, name: str, text: str, read: Reader) -> Any:
        """What `text` means. A fault never shows what a `${…}` in it gave."""
        filled = REFERENCE.sub(self._referred, text)
        try:
            value = read(filled)
        except ValueError as wrong:
            references = " ".join(match[0] for match in REFERENCE.finditer(text))
            shown = references or " ".join(getattr(wrong, "shown", text).split())
            raise ValueError(f'{name} cannot be "{shown}": {wrong}') from None
        if isinstance(value, Secret) and value and filled == text and self._is_public:
            next_step = f"chmod 600 {self._path}, or write ${{credential:{name}}}"
            log.warning("%s:%d: anybody here can read %s; %s", self._path, line, name, next_step)
        return value

    def _referred(self, match: re.Match[str]) -> str:
        """What one `${env:NAME}`, `${file:PATH}` or `${credential:NAME}` stands for."""
        reference, kind, name = match[0], match[1], match[2]
        directory = self._environment.get("CREDENTIALS_DIRECTORY", "")
        if kind == "env" and name in self._environment:
            return self._environment[name]
        if kind == "file":
            return _content(reference, self._base / os.path.expanduser(name))
        if kind == "credential" and directory:
            return _content(reference, Path(directory, name))
        next_steps = {
            "env": f"is not set; set {name} where ircops is started",
            "credential": f"is not given; write LoadCredential={name}:PATH in ircops.service",
        }
        unknown = "is unknown; there are ${env:NAME}, ${file:PATH} and ${credential:NAME}"
        raise ValueError(f"{reference} {next_steps.get(kind, unknown)}")

    def _built(self, found: dict[str, dict[str, Any]]) -> Settings:
        """The settings of all that was found, every path absolute."""
        sections: dict[str, Any] = {}
        for word, kind in KINDS.items():
            titles = [title.partition(" ") for title in found]
            names = [name for first, _, name in titles if name and first == word]
            named = {n: kind.section(n)(**found[f"{word} {n}"]) for n in names}
            if kind.of:
                sections[kind.of[0]] = named
            if kind.is_named:
                sections[kind.field] = named
            else:
                values = found.get(word, {})
                sections |= {name: values.pop(name) for name in kind.own if name in values}
                sections[kind.field] = values if kind.is_list else kind.holds(**values)
        bot = sections["bot"]
        sections["bot"] = replace(bot, console=bot.state / bot.console.expanduser())
        settings: Settings = _anchored(Settings(**sections), self._base)
        return replace(settings, path=self._path, lines=self._lines)

    def _check(self, settings: Settings) -> None:
        """Hold the settings to the rules of config.py, except where a fault is told already."""
        for section, key, sentence in _broken_rules(settings):
            if (section, key) not in self._told:
                line = self._lines.get((section, key)) or self._lines[section, ""]
                self.faults.append((line, f"[{section}] {sentence}"))


def _broken_rules(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Section, key and sentence of each rule that does not hold."""
    for word, kind in KINDS.items():
        held = getattr(settings, kind.field)
        sections = [*held.items()] if kind.is_named else [("", held)]
        sections += [*getattr(settings, kind.of[0]).items()] if kind.of else []
        for name, section in sections:
            for key, sentence in getattr(section, "faults", tuple)():
                yield f"{word} {name}".strip(), key, sentence
    yield from settings.faults()


def _anchored(value: Any, base: Path) -> Any:
    """`value` with every path in it absolute: `~` is our home, the rest is relative to `base`."""
    if isinstance(value, Path):
        return base / os.path.expanduser(value)
    if isinstance(value, tuple):
        return tuple(_anchored(part, base) for part in value)
    if isinstance(value, Mapping):
        return {name: _anchored(part, base) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: _anchored(getattr(value, part.name), base) for part in fields(value)}
        return replace(value, **parts)
    return value


def _content(reference: str, path: Path) -> str:
    """The text of a file as a shell's $(cat …) gives it; ValueError says why there is none."""
    try:
        return path.read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise ValueError(f"{reference}: cannot read {path}: {_reason(error)}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{reference}: {path} is not UTF-8 text") from None


def _nearest(word: str, known: Mapping[str, object]) -> str:
    return next(iter(get_close_matches(word, known, 1)), "")


def _numbered(text: str) -> tuple[int, str]:
    number, _, name = text.partition(" ")
    return int(number), name


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
