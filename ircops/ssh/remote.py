"""One command on one host: a channel, stdin in, stdout and stderr out, until it ends or is told to."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ircops.call import Result
from ircops.errors import OpsError, sentence
from ircops.ssh.keys import FAULTS
from ircops.ssh.pool import Pool

KEPT = 1024 * 1024  # bytes of each stream; what comes after is counted
MOUTHFUL = 4 * 1024 * 1024  # bytes at a time: more than a channel's window, so all that has come
FEED = 0.05  # seconds between looks whether the command takes more of its stdin; nothing tells us
LOST = "connection lost; it may still run there"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Command:
    """What is run."""

    line: str  # for the login shell of the host
    stdin: bytes = b""
    timeout: float = 60.0  # seconds, from its start on the host; 0 = none


def with_environment(line: str, environment: Mapping[str, str]) -> str:
    """Put variables in front of a shell line: sent apart, sshd drops most without a word (AcceptEnv).

    Raises ValueError for a name that is none.
    """
    for name in environment:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable")
    pairs = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    return " ".join(("export", *pairs)) + "; " + line if pairs else line


class Remote:
    """A command on a host. `run` stays in its worker thread; `stop` may come from any."""

    def __init__(self, host: str, command: Command) -> None:
        self.host = host
        self._command = command
        self._lock = threading.Lock()
        self._news = _News()
        self._channel: Any = None
        self._stopped = ""  # why

    def run(self, pool: Pool) -> Result:
        """Run it to its end. What goes wrong there is in the Result, whose seconds are without connecting."""
        if self._stopped:
            return self._not_started()
        try:
            with pool.session(self.host) as channel:
                return self._follow(channel) if self._begin(channel) else self._not_started()
        except OpsError as error:
            return Result(self.host, error=sentence(error))

    def stop(self, reason: str) -> Result | None:
        """Ask it to end; never blocks. Gives the Result of what had not started, else `run` will at once."""
        with self._lock:
            if self._stopped:
                return None
            self._stopped = reason
            if self._channel is None:
                return self._not_started()
        self._news.set()
        self._channel.event.set()  # what exec_command waits for
        self._channel.status_event.set()
        return None

    def _begin(self, channel: Any) -> bool:
        """From here on it may run there; False if that is no longer wanted."""
        with self._lock:
            self._channel = channel
            return not self._stopped

    def _not_started(self) -> Result:
        return Result(self.host, error=f"stopped: {self._stopped}; not started")

    def _follow(self, channel: Any) -> Result:
        began = time.monotonic()
        deadline = began + self._command.timeout if self._command.timeout else None
        stdout, stderr = _Kept(), _Kept()
        code: int | None = None
        error = ""
        try:
            code = self._exchange(channel, stdout, stderr, deadline)
        except TimeoutError:
            error = f"timed out after {self._command.timeout:g} s; it may still run there"
        except FAULTS:
            error = "it refuses to run commands" if channel.transport.is_active() else LOST
        if code == -1:  # it ended without one
            code = None
            error = "ended by a signal" if channel.transport.is_active() else LOST
        if code is None and self._stopped:
            error = f"stopped: {self._stopped}; it may still run there"
        seconds = time.monotonic() - began
        return Result(self.host, stdout.text, stderr.text, code, seconds, error)

    def _exchange(self, channel: Any, stdout: _Kept, stderr: _Kept, deadline: float | None) -> int:
        """Feed and read until it ends; gives the exit code, -1 without one. Raises TimeoutError, FAULTS."""
        news = self._news
        channel.in_buffer.set_event(news)
        channel.in_stderr_buffer.set_event(news)
        channel.exec_command(self._command.line)
        channel.settimeout(0.0)
        stdin = memoryview(self._command.stdin)
        is_fed = False
        while not self._stopped:
            news.reset()
            is_over = (
                channel.eof_received or channel.closed
            )  # asked first: nothing comes after that
            if channel.recv_ready():
                stdout.add(channel.recv(MOUTHFUL))
            if channel.recv_stderr_ready():
                stderr.add(channel.recv_stderr(MOUTHFUL))
            if is_over:
                break
            if not is_fed:
                stdin, is_fed = _feed(channel, stdin)
            news.wait(_left(deadline) if is_fed else min(FEED, _left(deadline) or FEED))
        if not channel.status_event.wait(_left(deadline)):
            raise TimeoutError
        return int(channel.exit_status)


class _News(threading.Event):
    """Set when either stream has something. paramiko clears it when one of the two is empty; that is too early."""

    reset = threading.Event.clear

    def clear(self) -> None:
        pass


class _Kept:
    """The start of a stream, and how long it was."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        if (room := KEPT - self._size) > 0:
            self._pieces.append(piece[:room])
        self._size += len(piece)

    @property
    def text(self) -> str:
        text = b"".join(self._pieces).decode(errors="replace")
        if self._size <= KEPT:
            return text
        return f"{text}\n(… {(self._size - KEPT) / 1e6:.1f} MB more not kept)\n"


def _feed(channel: Any, stdin: memoryview) -> tuple[memoryview, bool]:
    """Give what the command takes now; then what is left, and whether all of it is sent and said to be."""
    while stdin:
        try:
            sent = channel.send(bytes(stdin[:32768]))
        except TimeoutError:  # its window is full
            return stdin, False
        except OSError:
            sent = 0
        if not sent:  # it takes no more
            return stdin, True
        stdin = stdin[sent:]
    channel.shutdown_write()
    return stdin, True


def _left(deadline: float | None) -> float | None:
    """Seconds until then. Raises TimeoutError when there are none."""
    if deadline is None:
        return None
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left
