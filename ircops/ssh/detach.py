"""Commands that outlive us: left to themselves on a host, followed, and found again by the word they were given.

On the host a directory a command, for its user only, holds what there is to know: pid and birth of its leader,
stdin, both streams and, at the end, the exit code. The leader is a shell in a session of its own, which no end of
a connection touches. What follows it is a plain command that reads those files and ends with that exit code; so
when it is cut off, another one goes on where it was. A word is drawn for each run and, with a host's name, gives
the directory's: two bots, and two hosts with one home directory, do not meet.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ircops.call import Result
from ircops.errors import OpsError, sentence
from ircops.ssh.detached import LEADER, SCRIPT
from ircops.ssh.exchange import exchange, hear
from ircops.ssh.keys import FAULTS
from ircops.ssh.kill import Mark, noted, with_environment
from ircops.ssh.pool import Pool
from ircops.ssh.quoting import quoted
from ircops.ssh.remote import NOT_STARTED, Command, Remote
from ircops.ssh.spool import Stream
from ircops.ssh.watch import Watch

LATER = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds until a host is tried again; the last for ever
GIVE_UP = 7 * 86400.0  # seconds without a host
FORGET = 10.0  # seconds; finding takes as long
GOES_ON = "goes on there without the bot"


@dataclass(frozen=True)
class Word:
    """What a run is found again by."""

    run: str  # 32 characters that nobody else has
    is_known: bool = False  # it was started before; it is not started now

    def on(self, host: str) -> str:
        """What it is called on a host."""
        return hashlib.blake2b(f"{self.run} {host}".encode(), digest_size=16).hexdigest()


class Detached:
    """A command on a host that is left to itself there, and followed. See `Work` for `run` and `stop`."""

    def __init__(
        self, host: str, command: Command, word: Word, tell: Callable[[str, str], None]
    ) -> None:
        """`tell` hears, as host and sentence, when the host is away, and with "" when it is there again."""
        self.host = host
        self.ending = ""
        self._command, self._word, self._tell = command, word, tell
        self._lock = threading.Lock()
        self._watch = Watch()
        self._channel: Any = None
        self._may_run = word.is_known
        self._is_left = self._is_away = self._is_timed = False
        self._known = [0, 0]  # bytes of each stream that we have
        self._mark = Mark(word.on(host))
        self._stdout = Stream(f"{host}.out", command.spool)
        self._stderr = Stream(f"{host}.err", command.spool)

    @property
    def so_far(self) -> str:
        """The end of what it has put out; any thread."""
        return self._stdout.end + self._stderr.end

    def run(self, pool: Pool) -> Result:
        """Start or find it, and follow it to its end, over as many connections as that takes."""
        began = time.monotonic()
        code, error = None, ""
        try:
            code = self._follow(pool)
            if not self._mark.pid:
                what = (
                    "no trace of it there" if self._word.is_known else "it cannot be detached there"
                )
                code, error = (None if self._word.is_known else code), what
            elif code == -1:
                code, error = None, "ended there by a signal, or with the host"
        except TimeoutError:
            error = self._killed(pool, f"timed out after {self._command.timeout:g} s")
        except _Over:
            if self._is_left:
                error = GOES_ON
            elif not self._may_run:
                self.ending = NOT_STARTED
                error = f"stopped: {self._watch.stopped}; {NOT_STARTED}"
            else:
                error = self._killed(pool, f"stopped: {self._watch.stopped}")
        except OpsError as fault:
            error = sentence(fault)
        finally:
            self._stdout.close()
            self._stderr.close()
        out, seconds = self._stdout, time.monotonic() - began
        return Result(self.host, out.text, self._stderr.text, code, seconds, error, out.path)

    def stop(self, reason: str) -> Result | None:
        """Ask it to end; what had not begun there never will."""
        with self._lock:
            if self._watch.stopped:
                return None
            self._watch.stop(reason)
            if self._channel is None and not self._may_run:
                self.ending = NOT_STARTED
                return Result(self.host, error=f"stopped: {reason}; {NOT_STARTED}")
        self._wake()
        return None

    def leave(self) -> None:
        """Let it go on without us; never blocks."""
        with self._lock:
            if self._watch.stopped:
                return
            self._is_left = True
            self._watch.stop(GOES_ON)
        self._wake()

    def _wake(self) -> None:
        if (channel := self._channel) is not None:
            channel.event.set()  # what exec_command waits for
            channel.status_event.set()

    def _killed(self, pool: Pool, why: str) -> str:
        if not self._mark.pid:
            self._find(pool)
        self.ending = self._mark.kill(pool, self.host)
        return f"{why}; {self.ending}"

    def _find(self, pool: Pool) -> None:
        """Have its leader named, without which nothing can be proved; not if the host is away."""
        watch = Watch()
        watch.start(FORGET)
        self._mark.expect()
        nothing = contextlib.suppress(OpsError, TimeoutError, *FAULTS)
        with nothing, pool.session(self.host) as channel:
            line = self._line("find")
            exchange(channel, line, b"", watch, self._mark, self._out, self._err)

    def _follow(self, pool: Pool) -> int:
        """Its exit code, -1 if it has none. Raises TimeoutError, OpsError, _Over."""
        tries, since = 0, time.monotonic()
        while True:
            self._check()
            why, is_alive = "connection lost", False
            try:
                with pool.session(self.host) as channel:
                    code = self._attend(channel)
                    is_alive = channel.transport.is_active()
            except OpsError as error:
                if not self._may_run:
                    raise
                why = sentence(error)
            else:
                if code is not None and (code >= 0 or is_alive):
                    return code
            if is_alive and not self._mark.is_told:
                raise OpsError("it refuses to run commands")
            if self._mark.is_told:
                self._mark.expect()
                tries, since = 0, time.monotonic()
            if time.monotonic() - since > GIVE_UP:
                raise OpsError(f"{why} for a week; it may still run there")
            self._is_away = True
            self._tell(self.host, why)
            self._watch.news.reset()
            self._check()
            self._watch.pause(LATER[min(tries, len(LATER) - 1)])
            tries += 1

    def _attend(self, channel: Any) -> int | None:
        """Follow it by one channel; None if that broke."""
        what, mark, watch = self._command, self._mark, self._watch
        with self._lock:
            self._check()
            self._channel = channel
            if not self._is_timed:
                watch.start(what.timeout)
            self._is_timed = self._may_run = True
        todo = "follow" if self._word.is_known or mark.pid else "start"
        stdin = what.stdin if todo == "start" else b""
        mark.expect()
        try:
            return exchange(channel, self._line(todo), stdin, watch, mark, self._out, self._err)
        except TimeoutError:  # which is an OSError, and so a fault
            raise
        except FAULTS:
            return None
        finally:
            if watch.stopped:
                self._err(hear(channel, watch, mark))
            self._stderr.add(mark.rest())
            self._check()

    def _out(self, piece: bytes) -> None:
        self._known[0] += len(piece)
        self._stdout.add(piece)

    def _err(self, piece: bytes) -> None:
        piece, self._mark.noise = piece[self._mark.noise :], 0  # what start-up files say is not its
        self._known[1] += len(piece)
        self._stderr.add(piece)
        if self._is_away and self._mark.is_told:
            self._is_away = False
            self._tell(self.host, "")

    def _check(self) -> None:
        if self._watch.stopped:
            raise _Over

    def _line(self, todo: str) -> str:
        what = self._command
        first = noted(what.note) if todo == "start" else ""
        script = with_environment(first, what.environment) + SCRIPT
        sizes = map(str, self._known)
        words = ["sh", "-c", script, self._mark.word, todo, *sizes, what.line, LEADER]
        return f"exec {quoted(words)}"


class Away:
    """The hosts of a run that are out of reach while we go on to look; the first is told."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.hosts: dict[str, str] = {}  # and why
        self._tell = tell

    def __call__(self, host: str, why: str) -> None:
        """`why` it is away, "" = it is there again."""
        if not why:
            self.hosts.pop(host, None)
            return
        self.hosts[host] = why
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(f"{host}: {why}; it is left to itself there, and looked for until it is found")


class Forget(Remote):
    """Throws away what a host keeps of a detached command, unless that still runs."""

    def __init__(self, host: str, word: Word) -> None:
        words = ["sh", "-c", SCRIPT, word.on(host), "forget"]
        super().__init__(host, Command(quoted(words), timeout=FORGET))


class _Over(Exception):
    """Nobody wants it to be followed any more."""
