"""~/.ssh/config as paramiko reads it, with its Includes; read again when it changes."""

from __future__ import annotations

import glob
import logging
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError
from ircops.ssh.changes import Stamp, stamps

if TYPE_CHECKING:
    from paramiko import SSHConfig

log = logging.getLogger(__name__)

DEPTH = 16  # of Includes, as OpenSSH has it
EXEC = 10.0  # seconds a Match exec may take
MATCHES = frozenset("all canonical final exec host originalhost user localuser".split())
_LINE = re.compile(r"\s*(host|match|include)(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)


class SshConfig:
    """The options of each host. Used from any thread; no file is an empty one.

    When a change has a fault, what was read before it stays, and `fault` says why.
    """

    def __init__(self, path: Path) -> None:
        self.fault = ""
        self._path = path
        self._lock = threading.Lock()
        self._stamps: dict[Path, Stamp] = {}
        self._config: SSHConfig | None = None
        self._names: frozenset[str] = frozenset()
        self._found: dict[str, dict[str, Any]] = {}  # kept: a lookup may ask DNS who we are

    @property
    def names(self) -> frozenset[str]:
        """The hosts of its Host lines, patterns left out."""
        with self._lock:
            self._refresh()
            return self._names

    def lookup(self, name: str) -> dict[str, Any]:
        """Its options for `name`, in lower case; always with hostname and port. Raises OpsError."""
        with self._lock:
            self._refresh()
            if name not in self._found:
                self._found[name] = self._look_up(name)
            return self._found[name]

    def _look_up(self, name: str) -> dict[str, Any]:
        if self._config is None:
            return {"hostname": name, "port": 22}
        from paramiko import SSHException

        try:
            found = dict(self._config.lookup(name))
            found["port"] = int(found.get("port", 22))
        except (SSHException, ValueError, KeyError, ImportError) as error:
            raise OpsError(f"{self._path}: {name}: {error}") from None
        return found

    def _refresh(self) -> None:
        if self._stamps and stamps(self._stamps) == self._stamps:
            return
        reading = _Reading()
        try:
            config = _parsed(self._path, list(reading.lines(self._path)))
        except OpsError as error:
            if not self._stamps:  # there is nothing to fall back on
                raise
            log.error("%s; what it said before stays", error.message)
            self.fault = error.message
        else:
            self._config, self._names, self._found = config, frozenset(reading.names), {}
            self.fault = ""
        self._stamps = reading.seen


def _parsed(path: Path, lines: list[str]) -> SSHConfig | None:
    """None for an empty one, which needs no paramiko."""
    if not lines:
        return None
    from paramiko import SSHConfig, SSHException, config

    config.invoke = _Exec  # its own would read our stdin, which is that of a call
    try:
        return SSHConfig.from_text("\n".join(lines))
    except (SSHException, ValueError) as error:
        raise OpsError(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Exec:
    """How the shell line of a Match exec ended."""

    ok: bool

    @classmethod
    def run(cls, command: str, **_: object) -> _Exec:
        """Run it; one that takes too long has failed."""
        try:
            ended = subprocess.run(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=EXEC,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return cls(False)
        return cls(ended.returncode == 0)


class _Reading:
    """One pass through a file and what it includes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.seen: dict[Path, Stamp] = {}  # files, and directories where more may come
        self._block = "Host *"  # the line that what follows belongs to

    def lines(self, path: Path, depth: int = 0, within: str = "") -> Iterator[str]:
        """The lines of `path`, those of other files in place of its Includes; `within` is their block."""
        self.seen |= stamps([path])
        for number, line in enumerate(_read(path), 1):
            parts = _LINE.match(line)
            word = parts[1].lower() if parts else ""
            where = f"{path}:{number}"
            if not parts:
                yield line
            elif word == "include":
                if depth == DEPTH:
                    raise OpsError(
                        f"{where}: Includes go deeper than {DEPTH} files; is it a circle?"
                    )
                block = self._block
                for other in self._included(_words(parts[2], where)):
                    yield from self.lines(other, depth + 1, block)
                    yield block  # goes on after the included file
                    self._block = block
            elif within not in ("", "Host *"):
                raise OpsError(f"{where}: {word} in a file that is included under '{within}'; "
                               "include it at the top of the file instead")  # fmt: skip
            else:
                words = _words(parts[2], where)
                if word == "match":
                    _check_match(words, where)
                else:
                    self.names.update(name for name in words if not set(name) & set("*?!"))
                self._block = line.strip()
                yield line

    def _included(self, patterns: list[str]) -> Iterator[Path]:
        """The files that `patterns` stand for, as ssh_config(5) has it for a user's own file."""
        for pattern in patterns:
            whole = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
            self.seen |= stamps([whole.parent])
            yield from (Path(found) for found in sorted(glob.glob(str(whole))))


def _read(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise OpsError(f"{path}: cannot be read: {error}") from None


def _words(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise OpsError(f"{where}: {error}") from None


def _check_match(words: list[str], where: str) -> None:
    """paramiko takes a criterion that it does not know for one that holds."""
    rest = iter(words)
    for word in rest:
        kind = word.lstrip("!")
        if kind not in MATCHES:
            raise OpsError(
                f"{where}: Match {kind} is not known here; it has {' '.join(sorted(MATCHES))}"
            )
        if kind not in ("all", "canonical", "final"):
            next(rest, None)
