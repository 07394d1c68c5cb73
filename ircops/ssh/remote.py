"""One command on one host: a channel, stdin in, stdout and stderr out, until it ends or is ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ircops.call import Result
from ircops.errors import OpsError, sentence
from ircops.ssh.exchange import exchange, hear
from ircops.ssh.keys import FAULTS
from ircops.ssh.kill import Mark
from ircops.ssh.pool import Pool
from ircops.ssh.shell import LONGEST, Unanswered
from ircops.ssh.spool import Spool, Stream
from ircops.ssh.watch import Watch

NOT_STARTED = "not started"


@dataclass(frozen=True)
class Command:
    """What is run."""

    line: str  # for the login shell of the host; a fast one is for a POSIX sh
    stdin: bytes = b""
    timeout: float = 60.0  # seconds, from its start on the host; 0 = none
    environment: Mapping[str, str] = field(default_factory=dict)
    fast: bool = False  # short, only looks, may run twice: by a resident shell where there is one
    pty: bool = False  # at a terminal; its stderr is then in its stdout
    note: str = ""  # for the host's own log, in words
    spool: Spool | None = None  # where its output is kept that is more than fits in memory


class Remote:
    """A command on a host. `run` stays in its worker thread; `stop` may come from any."""

    def __init__(self, host: str, command: Command) -> None:
        self.host = host
        self.ending = ""  # what became of it after it was stopped or timed out, in words
        self._command = command
        self._lock = threading.Lock()
        self._watch = Watch()
        self._channel: Any = None
        self._stdout = Stream(f"{host}.out", command.spool)
        self._stderr = Stream(f"{host}.err", command.spool)

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

    @property
    def so_far(self) -> str:
        """The end of what it has put out; any thread."""
        return self._stdout.end + self._stderr.end

    def _follow(self, pool: Pool, channel: Any) -> Result:
        began = time.monotonic()
        mark, what, watch = Mark(), self._command, self._watch
        stdout, stderr = self._stdout, self._stderr
        code: int | None = None
        why = error = ""
        is_led = channel.transport in pool.led and not what.pty
        line = mark.line(what.line, what.environment, is_led, what.note)
        try:
            code = exchange(
                channel, line, what.stdin, watch, mark, stdout.add, stderr.add, what.pty
            )
        except TimeoutError:
            why = f"timed out after {what.timeout:g} s"
        except FAULTS:
            error = "it refuses to run commands" if channel.transport.is_active() else _lost(mark)
        if code == -1:  # it ended without one
            code = None
            error = "ended by a signal" if channel.transport.is_active() else _lost(mark)
        if code is None and watch.stopped:
            why = f"stopped: {watch.stopped}"
        seconds = time.monotonic() - began
        if why:
            stderr.add(hear(channel, watch, mark))
            error = self._ended(pool, mark, why)
        if mark.is_led:
            pool.led.add(channel.transport)
        (stdout if what.pty else stderr).add(mark.rest())
        stdout.close()
        stderr.close()
        return Result(self.host, stdout.text, stderr.text, code, seconds, error, stdout.path)


def _lost(mark: Mark) -> str:
    where = f" (pid {mark.pid})" if mark.pid else ""
    return f"connection lost; it may still run there{where}"
