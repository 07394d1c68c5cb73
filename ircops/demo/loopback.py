"""TCP servers inside this process, on free loopback ports: threads that leave nothing behind."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from typing import Any, Self

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


class Loopback(socketserver.ThreadingTCPServer):
    """A thread that accepts, and one for each connection; none is left when `stop` returns."""

    def __init__(self, session: type[socketserver.BaseRequestHandler]) -> None:
        self._sessions: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        super().__init__((LOOPBACK, 0), session)
        self.port: int = self.server_address[1]

    def start(self) -> None:
        """Accept connections from now on."""
        self._acceptor.start()

    def stop(self) -> None:
        """End every connection, and return when all threads have ended."""
        self.shutdown()
        self._acceptor.join()
        self.server_close()
        for connection, thread in self._sessions.items():
            hang_up(connection)
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `stop` knows."""
        alive = {known: thread for known, thread in self._sessions.items() if thread.is_alive()}
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._sessions = {**alive, request: thread}
        thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what ended a connection; the library would print it."""
        log.warning("a connection from %s failed", client_address, exc_info=True)


def hang_up(connection: socket.socket) -> None:
    """End a connection under whoever reads from it; its owner closes it."""
    with contextlib.suppress(OSError):  # the other end was quicker
        connection.shutdown(socket.SHUT_RDWR)
