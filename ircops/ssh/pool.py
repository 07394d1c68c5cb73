"""Open SSH connections: one a host, shared by its commands, kept while they are used, reopened when dead."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from ircops.config import Ssh
from ircops.errors import OpsError, sentence
from ircops.ssh.connection import Connection, Lost
from ircops.ssh.dial import Dialler
from ircops.ssh.inventory import Host, Inventory
from ircops.ssh.keys import FAULTS
from ircops.ssh.limits import make_room
from ircops.ssh.shell import Shell


class Pool:
    """Connections by host. Used from any thread: the first that needs one opens it, others wait for it."""

    def __init__(self, ssh: Ssh, inventory: Inventory) -> None:
        self.inventory = inventory
        self._ssh = ssh
        self._dialler = Dialler(ssh)
        self._lock = threading.Lock()
        self._connections: dict[Host, Future[Connection]] = {}  # open, or being opened
        self.led: weakref.WeakSet[Any] = weakref.WeakSet()  # transports of hosts where Mark.is_led
        self._closing = threading.Event()
        self._tidier: threading.Thread | None = None
        # every failure reaches people as a sentence of ours; paramiko would log its traceback as well
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    @contextlib.contextmanager
    def session(self, name: str) -> Iterator[Any]:
        """An open paramiko Channel to the host, for the length of the block.

        Raises OpsError, in a sentence without the host's name, when there is no way to have one.
        """
        host = self.inventory.host(name)
        try:
            connection, channel = self._open_session(host)
        except Lost:  # it died while it was idle; the next one is new
            connection, channel = self._open_session(host)
        try:
            yield channel
        finally:
            with contextlib.suppress(*FAULTS):
                channel.close()
            connection.sessions.release()
            self._leave(connection)

    @contextlib.contextmanager
    def shell(self, name: str) -> Iterator[Shell | None]:
        """A resident shell of the host for one command; None where there is none, or all are in use.

        Raises OpsError as `session` does.
        """
        connection = self._join(self.inventory.host(name))
        shell: Shell | None = None
        try:
            shell = connection.take_shell(self._ssh.connect_timeout)
            yield shell
        finally:
            if shell is not None:
                connection.give_back(shell)
            self._leave(connection)

    @contextlib.contextmanager
    def aside(self, name: str, patience: float) -> Iterator[Any]:
        """A Channel beside those that count, to end what runs there; of a connection of its own if need be.

        Raises OpsError when there is no way to have one: of the open connection at the latest after
        2 x `patience` seconds.
        """
        host = self.inventory.host(name)
        own: Connection | None = None
        try:
            channel = self._beside(host, patience)
            if channel is None:
                own = self._connect(host)
                channel = own.open_session(patience)
            yield channel
            with contextlib.suppress(*FAULTS):
                channel.close()
        finally:
            if own is not None:
                self._end(own)

    def _beside(self, host: Host, patience: float) -> Any:
        """One more channel of the open connection; None if there is none or it takes no more. Raises OpsError."""
        for connection in self._opened():
            if connection.host == host and connection.is_alive:
                began = time.monotonic()
                with contextlib.suppress(*FAULTS):
                    return connection.transport.open_session(timeout=patience)
                if time.monotonic() - began >= patience:
                    self._retire(connection)  # its sshd is stuck
                    raise OpsError("it does not answer")
        return None

    def make_room(self, names: Iterable[str]) -> None:
        """See to it that all these hosts can be connected to beside those that are; others that are idle may go.

        Raises OpsError with the limit to raise when the process may not have so many files open.
        """
        with self._lock:
            opened = {host.name for host in self._connections}
        wanted = set(names)
        make_room(
            len(wanted - opened), len(opened), lambda count: self._close_idle(count, but=wanted)
        )

    def _close_idle(self, count: int, but: set[str]) -> int:
        """Close up to so many connections that nobody uses, longest idle first; how many it were."""
        idle = [each for each in self._opened() if not each.users and each.host.name not in but]
        idle = sorted(idle, key=lambda each: each.used_at)[:count]
        for connection in idle:
            self._retire(connection)
        return len(idle)

    def close(self) -> None:
        """Close every connection, also those in use, and wake who waits for one."""
        with self._lock:
            self._closing.set()
        self._dialler.abort()
        for connection in self._opened():
            self._retire(connection)
            connection.transport.close()

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._opened())

    def _open_session(self, host: Host) -> tuple[Connection, Any]:
        connection = self._join(host)
        try:
            return connection, connection.open_session(self._ssh.connect_timeout)
        except OpsError as error:
            if isinstance(error, Lost):
                self._retire(connection)
            self._leave(connection)
            raise

    def _join(self, host: Host) -> Connection:
        """The live connection to `host`, of which the caller is a user until `_leave`."""
        while True:
            with self._lock:
                if self._closing.is_set():
                    raise OpsError("not connected: the bot is stopping")
                future = self._connections.get(host)
                if is_ours := future is None:
                    future = self._connections[host] = Future()
            if is_ours:
                self._open(host, future)
            connection = future.result()
            with self._lock:
                if connection.is_alive and not connection.is_retired and not self._closing.is_set():
                    connection.users += 1
                    return connection
            self._retire(connection)

    def _leave(self, connection: Connection) -> None:
        with self._lock:
            connection.users -= 1
            connection.used_at = time.monotonic()
            is_over = connection.is_retired and not connection.users
        if is_over:
            self._end(connection)

    def _retire(self, connection: Connection) -> None:
        """Give it to nobody any more; it is closed when its last user has left."""
        with self._lock:
            if connection.is_retired:
                return
            connection.is_retired = True
            del self._connections[connection.host]
            is_over = not connection.users
        if is_over:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        connection.transport.close()
        if connection.via is not None:
            self._leave(connection.via)

    def _opened(self) -> list[Connection]:
        with self._lock:
            futures = [future for future in self._connections.values() if future.done()]
        return [future.result() for future in futures if future.exception() is None]

    def _open(self, host: Host, future: Future[Connection]) -> None:
        """Connect, for all who wait for `future`; a failure is theirs, too, and then forgotten."""
        try:
            future.set_result(self._connect(host))
        except BaseException as error:
            with self._lock:
                del self._connections[host]
            future.set_exception(error)
            return
        with self._lock:
            if self._tidier is None:
                self._tidier = threading.Thread(target=self._tidy, name="ssh-tidy", daemon=True)
                self._tidier.start()

    def _connect(self, host: Host) -> Connection:
        if host.jump is None:
            return Connection(host, self._dialler.transport(host), None)
        try:
            via = self._join(host.jump)
        except OpsError as error:
            raise OpsError(f"through {host.jump.name}: {sentence(error)}") from None
        try:
            return Connection(host, self._dialler.transport(host, via.transport), via)
        except BaseException:
            self._leave(via)
            raise

    def _tidy(self) -> None:
        """In a thread of its own: close what is dead or has long been idle."""
        longest = self._ssh.idle_close or math.inf  # seconds; 0 = keep them for ever
        while not self._closing.wait(min(longest / 4, 30)):
            for connection in self._opened():
                idle = 0.0 if connection.users else time.monotonic() - connection.used_at
                if not connection.is_alive or idle >= longest:
                    self._retire(connection)
