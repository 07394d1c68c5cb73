"""Several steps on one host as one piece of a fan-out: commands one after the other, files, waits between them."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ircops.call import Result
from ircops.errors import OpsError, Stopped, sentence
from ircops.ssh import files
from ircops.ssh.detach import Detached
from ircops.ssh.quoting import quoted
from ircops.ssh.remote import NOT_STARTED, Command, Remote

if TYPE_CHECKING:
    from ircops.ssh.pool import Pool

PATIENCE = 60.0  # seconds that a step with files waits for an answer
TIDY = 5.0  # seconds that tidying up may wait for an answer

Body = Callable[["Steps"], Result]


class Steps:
    """What a body is given for its host: call it with a command to run that there and have its Result.

    The body stays in its worker thread; `stop` and `leave` may come from any. A step that is begun after a stop, or
    when the time is up, raises Stopped or OpsError, which the body need not catch.
    """

    def __init__(
        self,
        host: str,
        body: Body,
        command: Command,
        detached: Callable[[str, Command], Detached] | None = None,
    ) -> None:
        """`command` has what holds for every step: its time is that of all, and its note is made once."""
        self.host = host
        self.ending = ""
        self.is_left = False  # what goes on there goes on without us
        self._body = body
        self._command = command
        self._note = command.note
        self._detached = detached
        self._deadline = math.inf
        self._lock = threading.Lock()
        self._has_begun = False
        self._stopped = threading.Event()
        self._why = ""
        self._current: Callable[[str], object] | None = None  # stops the step that goes on
        self._remote: Remote | Detached | None = None  # if that is a command
        self._pool: Pool

    def run(self, pool: Pool) -> Result:
        """Run the body to its end; what goes wrong there is in the Result."""
        with self._lock:
            if self._stopped.is_set():
                return self._not_started()
            self._has_begun = True
        self._pool = pool
        self._deadline = time.monotonic() + (self._command.timeout or math.inf)
        began = time.monotonic()
        try:
            return self._body(self)
        except OpsError as error:
            why = f"stopped: {sentence(error)}" if isinstance(error, Stopped) else sentence(error)
            return Result(self.host, seconds=time.monotonic() - began, error=why)

    def stop(self, reason: str) -> Result | None:
        """Ask it to end, see `Work.stop`."""
        with self._lock:
            if self._stopped.is_set():
                return None
            self._why = reason
            self._stopped.set()
            if not self._has_begun:
                return self._not_started()
            current = self._current
        if current is not None:
            current(reason)
        return None

    def leave(self) -> bool:
        """Let what is detached go on without us; whether something is."""
        with self._lock:
            remote = self._remote
            if not isinstance(remote, Detached):
                return False
            self.is_left = True
        remote.leave()
        return True

    @property
    def so_far(self) -> str:
        """The end of what the command that runs has put out; any thread."""
        remote = self._remote
        return remote.so_far if remote is not None else ""

    def __call__(
        self,
        command: str | list[str],
        *,
        timeout: float = 0,
        stdin: bytes = b"",
        fast: bool = False,
        detach: bool = False,
    ) -> Result:
        """Run a command as `Fanout.run` would, at most `timeout` seconds if not 0, and wait for its end."""
        line = command if isinstance(command, str) else quoted(command)
        seconds = min(timeout or math.inf, self.left())
        seconds = 0 if seconds == math.inf else seconds
        note, self._note = ("", self._note) if fast else (self._note, "")
        what = replace(self._command, line=line, stdin=stdin, timeout=seconds, fast=fast, note=note)
        begin = self._detached if detach and self._detached else Remote
        remote = begin(self.host, what)
        with self._going(remote.stop):
            self._remote = remote
            try:
                return remote.run(self._pool)
            finally:
                self.ending = remote.ending
                self._remote = None

    def put(self, data: bytes, path: str, mode: int) -> None:
        """Write a file there, whole and proved by its digest, or not at all. Raises OpsError."""
        with self._files() as client:
            files.put(client, data, path, mode, self._digest)

    def get(self, path: str) -> bytes:
        """Read a small file there. Raises OpsError."""
        with self._files() as client:
            return files.get(client, path)

    def home(self) -> str:
        """The directory that paths start from there. Raises OpsError."""
        with self._files() as client:
            return str(client.normalize("."))

    def remove(self, path: str) -> None:
        """Remove a file there if that can be, even after a stop."""
        with (
            contextlib.suppress(OpsError),
            files.opened(self._pool, self.host, TIDY) as client,
        ):
            files.remove(client, path)

    def done(self, text: str = "") -> Result:
        """A Result for a body to return: all is well."""
        return Result(self.host, text, exit_code=0)

    def left(self) -> float:
        """Seconds that are left of its time, inf = no end. Raises OpsError when none are, Stopped."""
        if self._stopped.is_set():
            raise Stopped(self._why)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise OpsError(f"not done after {self._command.timeout:g} s")
        return left

    def wait(self, seconds: float) -> None:
        """Sleep. Raises Stopped, and OpsError when its time is up."""
        self._stopped.wait(min(seconds, self.left()))
        self.left()

    @contextlib.contextmanager
    def _going(self, stop: Callable[[str], object]) -> Iterator[None]:
        """In the block a step goes on that `stop` ends; it may be a part of another."""
        with self._lock:
            if self._stopped.is_set():
                raise Stopped(self._why)
            outer, self._current = self._current, stop
        try:
            yield
        finally:
            with self._lock:
                self._current = outer

    @contextlib.contextmanager
    def _files(self) -> Iterator[Any]:
        with files.opened(self._pool, self.host, min(self.left(), PATIENCE)) as client:
            channel = client.get_channel()
            with self._going(lambda reason: channel.close()):
                yield client

    def _digest(self, path: str) -> str:
        result = self(["sha256sum", path])
        return result.stdout[:64] if result.ok else ""

    def _not_started(self) -> Result:
        self.ending = NOT_STARTED
        return Result(self.host, error=f"stopped: {self._why}; {NOT_STARTED}")
