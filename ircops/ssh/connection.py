"""One open connection to a host, shared by its commands: their sessions, of which there are few, and its resident shells."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from ircops.errors import OpsError
from ircops.ssh.inventory import Host
from ircops.ssh.keys import FAULTS
from ircops.ssh.shell import Shell

SESSIONS = 10  # commands at once on one connection: what sshd allows by default (MaxSessions)
SHELLS = 3  # of them resident shells, at most
RETRY = 0.05  # seconds
GRACE = 1.0  # seconds; a session that has just ended still counts until sshd has tidied up


class Lost(OpsError):
    """A connection was gone when it was to be used."""


class Connection:
    """One open connection. `users`, `used_at` and `is_retired` belong to the pool's lock."""

    def __init__(self, host: Host, transport: Any, via: Connection | None) -> None:
        self.host = host
        self.transport = transport
        self.via = via  # the jump host's, of which this one is a user
        self.users = 0
        self.used_at = time.monotonic()
        self.is_retired = False
        self.sessions = threading.BoundedSemaphore(SESSIONS)
        self._lock = threading.Lock()  # for what follows
        self._idle: list[Shell] = []
        self._shells = 0  # idle, in use or being started
        self._has_no_shell = False  # it was tried

    @property
    def is_alive(self) -> bool:
        return bool(self.transport.is_active())

    def open_session(self, patience: float) -> Any:
        """A channel; its user releases `sessions`. Raises OpsError, at the latest after 3 x `patience` seconds."""
        began = time.monotonic()
        hope = min(GRACE, patience)
        while (channel := self._try_session(patience)) is None:
            if self._drop_idle_shell() or self.users > 1:
                hope = patience
            if time.monotonic() - began >= hope:
                raise OpsError(
                    "it refuses one more session (MaxSessions?); try again when a command there has ended"
                )
            threading.Event().wait(RETRY)  # nothing tells us when sshd has room
        return channel

    def _try_session(self, patience: float) -> Any:
        """A channel, or None if the host refuses it. Raises OpsError."""
        if not self.sessions.acquire(blocking=False):
            self._drop_idle_shell()
            if not self.sessions.acquire(timeout=patience):
                raise OpsError(
                    f"{SESSIONS} commands run there already; try again when one has ended"
                )
        began = time.monotonic()
        try:
            return self.transport.open_session(timeout=patience)
        except FAULTS:
            self.sessions.release()
            if self.is_alive and time.monotonic() - began < patience:
                return None
            raise Lost("connection lost") from None

    def take_shell(self, patience: float) -> Shell | None:
        """A shell that waits, or a new one, which takes a session; None if there is no more to be had."""
        with self._lock:
            while self._idle:
                shell = self._idle.pop()
                if shell.is_fit:
                    return shell
                self._forget(shell)
            if self._has_no_shell or self._shells == SHELLS:
                return None
            if not self.sessions.acquire(blocking=False):
                return None
            self._shells += 1
        channel: Any = None
        made: Shell | None = None
        with contextlib.suppress(*FAULTS):
            channel = self.transport.open_session(timeout=patience)
            made = Shell.start(channel, patience)
        if made is None:
            with self._lock:
                self._has_no_shell = channel is not None and self.is_alive
                self._shells -= 1
            self.sessions.release()
        return made

    def give_back(self, shell: Shell) -> None:
        """A command is done with it, for better or worse."""
        with self._lock:
            if shell.is_fit:
                self._idle.append(shell)
            else:
                self._forget(shell)

    def _drop_idle_shell(self) -> bool:
        """Make room for a session; False if there is no shell to do without."""
        with self._lock:
            if not self._idle:
                return False
            self._forget(self._idle.pop())
            return True

    def _forget(self, shell: Shell) -> None:
        shell.close()
        self._shells -= 1
        self.sessions.release()
