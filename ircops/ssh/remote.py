"""One command on one host: a channel, stdin in, stdout and stderr out, until it ends or is ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ircops.call import Result
from ircops.errors import OpsError, sentence
from ircops.ssh.keys import FAULTS
from ircops.ssh.kill import Mark
from ircops.ssh.pool import Pool
from ircops.ssh.shell import KEPT, LONGEST, MOUTHFUL, Unanswered
from ircops.ssh.watch import Watch

FEED = 0.05  # seconds between looks whether the command takes more of its stdin; nothing tells us
MARK = 0.5  # seconds
NOT_STARTED = "not started"


@dataclass(frozen=True)
class Command:
    """What is run."""

    line: str  # for the login shell of the host; a fast one is for a POSIX sh
    stdin: bytes = b""
    timeout: float = 60.0  # seconds, from its start on the host; 0 = none
    environment: Mapping[str, str] = field(default_factory=dict)
    fast: bool = False  # short, only looks, may run twice: by a resident shell where there is one


class Remote:
    """A command on a host. `run` stays in its worker thread; `stop` may come from any."""

    def __init__(self, host: str, command: Command) -> None:
        self.host = host
        self.ending = ""  # what became of it after it was stopped or timed out, in words
        self._command = command
        self._lock = threading.Lock()
        self._watch = Watch()
        self._channel: Any = None

    def run(self, pool: Pool) -> Result:
        """Run it to its end. What goes wrong there is in the Result, whose seconds are without connecting."""
        try:
            result = self._by_shell(pool) if self._command.fast else None
            return result or self._by_exec(pool)
        except OpsError as error:
            return Result(self.host, error=sentence(error))

    def stop(self, reason: str) -> Result | None:
        """Ask it to end; never blocks. Gives the Result of what had not started, else `run` will when it is dead."""
        with self._lock:
            if self._watch.stopped:
                return None
            self._watch.stop(reason)
            if self._channel is None:
                return self._not_started()
        self._channel.event.set()  # what exec_command waits for
        self._channel.status_event.set()
        return None

    def _begin(self, channel: Any) -> bool:
        """From here on it may run there; False if that is no longer wanted."""
        with self._lock:
            if self._watch.stopped:
                return False
            self._channel = channel
            self._watch.start(self._command.timeout)
            return True

    def _not_started(self) -> Result:
        self.ending = NOT_STARTED
        return Result(self.host, error=f"stopped: {self._watch.stopped}; {NOT_STARTED}")

    def _ended(self, pool: Pool, mark: Mark, why: str) -> str:
        """End it, and say so: a sentence."""
        self.ending = mark.kill(pool, self.host)
        return f"{why}; {self.ending}"

    def _by_shell(self, pool: Pool) -> Result | None:
        """Have a resident shell run it; None if there is none that does."""
        if len(self._command.line) > LONGEST or self._command.stdin:
            return None
        with pool.shell(self.host) as shell:
            if shell is None:
                return None
            if not self._begin(shell.channel):
                return self._not_started()
            began = time.monotonic()
            try:
                answer = shell.run(self._command.line, self._command.environment, self._watch)
            except TimeoutError:
                why = f"timed out after {self._command.timeout:g} s"
            except Unanswered:  # with its connection, or by itself; it only looks: once more, then
                with self._lock:
                    self._channel = None
                return None
            else:
                seconds = time.monotonic() - began
                if answer is not None:
                    stdout = answer.stdout.decode(errors="replace")
                    stderr = answer.stderr.decode(errors="replace")
                    return Result(self.host, stdout, stderr, answer.exit_code, seconds)
                why = f"stopped: {self._watch.stopped}"
            seconds = time.monotonic() - began
            return Result(self.host, seconds=seconds, error=self._ended(pool, shell.mark, why))

    def _by_exec(self, pool: Pool) -> Result:
        if self._watch.stopped:
            return self._not_started()
        with pool.session(self.host) as channel:
            return self._follow(pool, channel) if self._begin(channel) else self._not_started()

    def _follow(self, pool: Pool, channel: Any) -> Result:
        began = time.monotonic()
        mark = Mark()
        stdout, stderr = _Kept(), _Kept()
        code: int | None = None
        why = error = ""
        try:
            code = self._exchange(pool, channel, mark, stdout, stderr)
        except TimeoutError:
            why = f"timed out after {self._command.timeout:g} s"
        except FAULTS:
            error = "it refuses to run commands" if channel.transport.is_active() else _lost(mark)
        if code == -1:  # it ended without one
            code = None
            error = "ended by a signal" if channel.transport.is_active() else _lost(mark)
        if code is None and self._watch.stopped:
            why = f"stopped: {self._watch.stopped}"
        seconds = time.monotonic() - began
        if why:
            stderr.add(self._hear(channel, mark))
            error = self._ended(pool, mark, why)
        if mark.is_led:
            pool.led.add(channel.transport)
        stderr.add(mark.rest())
        return Result(self.host, stdout.text, stderr.text, code, seconds, error)

    def _hear(self, channel: Any, mark: Mark) -> bytes:
        """Wait a moment for the mark of a command that has only just begun; gives what else is on stderr."""
        said, deadline = b"", time.monotonic() + MARK
        while not mark.pid and (left := deadline - time.monotonic()) > 0:
            self._watch.news.reset()
            is_over = channel.eof_received or channel.closed
            if channel.recv_stderr_ready():
                said += mark.strip(channel.recv_stderr(MOUTHFUL))
            elif is_over:
                break
            else:
                self._watch.news.wait(left)
        return said

    def _exchange(self, pool: Pool, channel: Any, mark: Mark, stdout: _Kept, stderr: _Kept) -> int:
        """Feed and read until it ends; gives the exit code, -1 without one. Raises TimeoutError, FAULTS."""
        watch = self._watch
        channel.in_buffer.set_event(watch.news)
        channel.in_stderr_buffer.set_event(watch.news)
        is_led = channel.transport in pool.led
        channel.exec_command(mark.line(self._command.line, self._command.environment, is_led))
        channel.settimeout(0.0)
        stdin = memoryview(self._command.stdin)
        is_fed = False
        while not watch.stopped:
            watch.news.reset()
            is_over = (
                channel.eof_received or channel.closed
            )  # asked first: nothing comes after that
            if channel.recv_ready():
                stdout.add(channel.recv(MOUTHFUL))
            if channel.recv_stderr_ready():
                stderr.add(mark.strip(channel.recv_stderr(MOUTHFUL)))
            if is_over:
                break
            if not is_fed:
                stdin, is_fed = _feed(channel, stdin)
            watch.pause(None if is_fed else FEED)
        if not channel.status_event.wait(watch.left()):
            raise TimeoutError
        return int(channel.exit_status)


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


def _lost(mark: Mark) -> str:
    where = f" (pid {mark.pid})" if mark.pid else ""
    return f"connection lost; it may still run there{where}"


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
