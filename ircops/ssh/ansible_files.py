"""Ansible's inventory files, INI and YAML, with group_vars and host_vars: groups, hosts, how they are reached.

Of the variables only those are read that say how a host is reached; others may be anybody's passwords.
Rules: Ansible's "Building Ansible inventories" and the documents of its plugins `ini` and `yaml`.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ircops.errors import OpsError
from ircops.ssh.ansible_tree import CONNECTION, Tree, Value, Values
from ircops.ssh.changes import stamps
from ircops.ssh.nodes import MOST_HOSTS

IGNORED = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")  # fmt: skip
YAML = (".yaml", ".yml", ".json")
DEPTH = 50  # of groups within groups in a YAML file

_HEADER = re.compile(r"\[([^\[\]:\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_NAME = re.compile(
    r"((?:[\w.-]|\[[\w:]+\])+)(?::(\d+))?|([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
)
_RANGE = re.compile(r"\[(\w+):(\w+)(?::(\d+))?\]")


def read(paths: tuple[Path, ...]) -> Tree:
    """Read inventories, files or directories of files; what is wrong is in `faults` then."""
    tree = Tree()
    for path in paths:
        if not path.exists():
            tree.seen |= stamps([path])
            tree.faults.append(f"{path}: no such file or directory; see inventory in [hosts]")
        _source(path, tree)
        _variables(path if path.is_dir() else path.parent, tree)
    for group, where in tree.mentioned.items():
        if group not in tree.declared:
            tree.faults.append(f"{where}: group {group} is defined nowhere; write [{group}]")
    return tree


def _source(path: Path, tree: Tree) -> None:
    tree.seen |= stamps([path])
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            is_ours = entry.name not in ("group_vars", "host_vars", "vars_plugins")
            if is_ours and entry.name[0] != "." and not entry.name.endswith(IGNORED):
                _source(entry, tree)
    elif path.exists() and os.access(path, os.X_OK) and _begins(path, b"#!", b"\x7fELF"):
        tree.programs.append(path)
    elif path.exists():
        _guarded(_yaml if path.suffix in YAML else _ini, path, tree)


def _begins(path: Path, *starts: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(20).startswith(starts)
    except OSError:
        return False


def _guarded(take: Callable[[Path, str, Tree], None], path: Path, tree: Tree) -> None:
    """Read one file by `take`, with its faults; a file that is vaulted as a whole holds nothing for us."""
    try:
        text = path.read_text("utf-8")
        if not text.startswith("$ANSIBLE_VAULT"):
            take(path, text, tree)
    except OpsError as error:
        tree.faults.append(error.message)
    except UnicodeDecodeError:
        tree.faults.append(f"{path}: not UTF-8; save the file as UTF-8")
    except OSError as error:
        tree.faults.append(f"{path}: cannot be read: {(error.strerror or 'why?').lower()}")


def _variables(base: Path, tree: Tree) -> None:
    """group_vars/NAME and host_vars/NAME beside an inventory: a YAML file, or a directory of them."""
    for kind, into in (("group_vars", tree.group_files), ("host_vars", tree.host_files)):
        tree.seen |= stamps([base / kind])
        for entry in sorted((base / kind).iterdir()) if (base / kind).is_dir() else ():
            name = entry.name.removesuffix(entry.suffix) if entry.suffix in YAML else entry.name
            for path in _files(entry, tree):

                def take(path: Path, text: str, tree: Tree, name: str = name) -> None:
                    node = _composed(path, text)
                    if node is not None:
                        into.setdefault(name, {}).update(_values(path, node))  # noqa: B023

                _guarded(take, path, tree)


def _files(path: Path, tree: Tree) -> Iterator[Path]:
    tree.seen |= stamps([path])
    if path.name[0] == "." or path.name.endswith(IGNORED):
        return
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.is_dir() or entry.suffix in (*YAML, ""):
            yield from _files(entry, tree)


def _ini(path: Path, text: str, tree: Tree) -> None:
    if text.startswith("---"):
        _yaml(path, text, tree)
        return
    group, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line, where = raw.strip(), f"{path}:{number}"
        if not line or line[0] in "#;":
            continue
        try:
            if line[0] == "[" and (header := _HEADER.fullmatch(line)):
                group, kind = header[1], header[2] or "hosts"
                if kind not in ("hosts", "children", "vars"):
                    raise ValueError(f"[{group}:{kind}] is not known; did you mean [{group}:vars]?")
                if kind == "vars":
                    tree.mentioned.setdefault(group, where)
                else:
                    tree.declared.add(group)
            elif kind == "hosts":
                name, *words = shlex.split(line, comments=True)
                _take(tree, group, name, _assigned(path, number, words))
            elif kind == "vars":
                tree.group(group).values.update(_assigned(path, number, [line]))
            else:
                child = line.split("#")[0].strip()
                tree.group(group).children[child] = None
                tree.mentioned.setdefault(child, where)
        except ValueError as error:
            tree.faults.append(f"{where}: {error}")


def _assigned(path: Path, number: int, words: list[str]) -> Values:
    """The connection variables among `key=value` words."""
    values = {}
    for word in words:
        key, equals, text = (part.strip() for part in word.partition("="))
        if not equals:
            raise ValueError(f"{word} is not key=value")
        if key in CONNECTION:
            try:
                literal = ast.literal_eval(text)  # as ansible does: a quoted text, a number
            except (ValueError, SyntaxError):
                literal = text
            values[CONNECTION[key]] = Value(str(literal), path, number)
    return values


def _take(tree: Tree, group: str, pattern: str, values: Values) -> None:
    """Take in the hosts of `web[01:50].example.org:2222`. Raises ValueError."""
    parts = _NAME.fullmatch(pattern)
    if not parts:
        raise ValueError(f"{pattern} is no host; write web1 or web[01:50]")
    if parts[2]:
        where = next(iter(values.values()), None)
        port = Value(parts[2], where.path if where else Path(), where.line if where else 0)
        values = {"ansible_port": port, **values}
    for name in _expanded(parts[1] or parts[3]):
        if len(tree.hosts) >= MOST_HOSTS:
            raise ValueError(f"{pattern} makes it more than {MOST_HOSTS} hosts; name fewer")
        tree.add(group, name, values)


def _expanded(pattern: str) -> Iterator[str]:
    """The names of a pattern: `web[1:3]`, `web[01:10:2]`, `db-[a:c]`, both ends included."""
    if not (found := _RANGE.search(pattern)):
        if "[" in pattern:
            raise ValueError(f"{pattern} is no range of names; write web[01:50] or db-[a:f]")
        yield pattern
        return
    first, last, step = found[1], found[2], int(found[3] or 1) or 1
    pieces: Iterator[str]
    if first.isdigit() and last.isdigit():
        if int(last) - int(first) > MOST_HOSTS:
            raise ValueError(f"{pattern} is more than {MOST_HOSTS} hosts; name fewer")
        width = len(first) if first[0] == "0" else 0
        pieces = (f"{number:0{width}}" for number in range(int(first), int(last) + 1, step))
    elif len(first) == len(last) == 1:
        pieces = (chr(code) for code in range(ord(first), ord(last) + 1, step))
    else:
        raise ValueError(f"{pattern} is no range of names; write web[01:50] or db-[a:f]")
    for piece in pieces:
        yield from _expanded(f"{pattern[: found.start()]}{piece}{pattern[found.end() :]}")


def _yaml(path: Path, text: str, tree: Tree) -> None:
    node = _composed(path, text)
    if node is None:
        return
    pairs = dict(_pairs(path, node))
    for key, value in pairs.items():
        if key.value == "plugin":
            tree.plugins.append(f"{path}:{_line(key)}: plugin {value.value}")
            return
    for key, value in pairs.items():
        _yaml_group(path, key, value, tree, 0)


def _yaml_group(path: Path, key: Any, node: Any, tree: Tree, depth: int) -> None:
    if depth > DEPTH:
        raise OpsError(f"{path}:{_line(key)}: groups go deeper than {DEPTH}; is it a circle?")
    group = tree.group(key.value)
    tree.declared.add(key.value)
    for part, held in _pairs(path, node):
        if part.value == "hosts":
            for host, values in _pairs(path, held):
                try:
                    _take(tree, key.value, host.value, _values(path, values))
                except ValueError as error:
                    tree.faults.append(f"{path}:{_line(host)}: {error}")
        elif part.value == "children":
            for child, inner in _pairs(path, held):
                group.children[child.value] = None
                _yaml_group(path, child, inner, tree, depth + 1)
        elif part.value == "vars":
            group.values.update(_values(path, held))
        else:
            said = f"{part.value} is none of hosts, children and vars"
            tree.faults.append(f"{path}:{_line(part)}: {said}")


def _composed(path: Path, text: str) -> Any:
    """The root node, which knows its lines; None for an empty file. Raises OpsError."""
    import yaml

    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise OpsError(f"{path}{line}: no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError:
        raise OpsError(f"{path}: no YAML: it holds characters that no text has") from None


def _pairs(path: Path, node: Any) -> Iterator[tuple[Any, Any]]:
    """Key and value of a mapping, `<<` merged in; nothing of an empty value. Raises OpsError."""
    if node.id == "scalar" and node.value in ("", "~", "null"):
        return
    if node.id != "mapping":
        raise OpsError(f"{path}:{_line(node)}: here are names with a colon each, and what belongs to them below")  # fmt: skip
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for merged in value.value if value.id == "sequence" else [value]:
                yield from _pairs(path, merged)
    for key, value in node.value:
        if key.id == "scalar" and key.tag != "tag:yaml.org,2002:merge":
            yield key, value


def _values(path: Path, node: Any) -> Values:
    """The connection variables of a mapping."""
    values = {}
    for key, value in _pairs(path, node):
        is_set = value.id == "scalar" and value.tag != "tag:yaml.org,2002:null"
        if key.value in CONNECTION and is_set:
            found = Value(value.value, path, _line(key), value.tag == "!vault")
            values[CONNECTION[key.value]] = found
    return values


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
