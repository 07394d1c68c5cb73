"""An SSH server in this process that does what OpenSSH would not: it hangs, refuses, wants more. One key opens it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import paramiko

HOST_KEY = paramiko.ECDSAKey.generate()


class Script(paramiko.ServerInterface):  # type: ignore[misc]
    """What it does; well-behaved. Overridden by tests, run in a thread of each connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []  # global requests
        self.is_over = threading.Event()  # the test; what hangs waits for it

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        return False

    def check_global_request(self, kind: str, msg: Any) -> bool:
        self.heard.append(kind)
        return False


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[int]:
    """The port of a server that follows it, for the length of the block."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        transports: list[Any] = []

        def accept() -> None:
            while True:
                try:
                    tcp, _ = server.accept()
                except OSError:
                    return
                transport = paramiko.Transport(tcp)
                transport.add_server_key(HOST_KEY)
                transport.start_server(event=threading.Event(), server=script)
                transports.append(transport)

        listener = threading.Thread(target=accept)
        listener.start()
        try:
            yield server.getsockname()[1]
        finally:
            script.is_over.set()
            server.shutdown(socket.SHUT_RDWR)
            listener.join()
            for transport in transports:
                transport.close()
