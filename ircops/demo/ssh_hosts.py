"""The SSH hosts of `ircops demo`: what is run on them really runs on this machine, as this user."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import paramiko

from ircops.demo.loopback import LOOPBACK, Loopback

log = logging.getLogger(__name__)


def new_key(path: Path) -> paramiko.PKey:
    """Make a key for this run; the private half goes to `path`, for its owner only (0600)."""
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(path))
    return key


class DemoHost(Loopback):
    """An SSH host that lets the holder of one key run commands, as this user, on this machine."""

    def __init__(self, name: str, client_key: paramiko.PKey) -> None:
        self.name = name
        self.client_key = client_key
        self.key = paramiko.ECDSAKey.generate()
        super().__init__(_SshSession)

    @property
    def fingerprint(self) -> str:
        """The host key's, as `ssh-keygen -l` prints it: `SHA256:…`."""
        return str(self.key.fingerprint)

    @property
    def known_hosts_line(self) -> str:
        """What a known_hosts file has to say (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        return f"[{LOOPBACK}]:{self.port} {self.key.get_name()} {self.key.get_base64()}"


class _SshSession(socketserver.BaseRequestHandler):
    """One connection, until its transport has ended and its commands are gone."""

    server: DemoHost

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = _Wire(self.request)
        transport = paramiko.Transport(wire)
        transport.set_log_channel(f"{__name__}.{self.server.name}")
        transport.add_server_key(self.server.key)
        rules = _Rules(self.server, wire)
        try:
            transport.start_server(server=rules)
            transport.join()
        except (paramiko.SSHException, EOFError, OSError) as error:
            # a port scan, or a client that left
            log.debug("%s: no SSH session: %s", self.server.name, error)
        finally:
            transport.close()
            for command in rules.commands:
                command.join()


class _Wire:
    """The connection as paramiko uses it; what must follow an answer runs before its thread reads on."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.before_reading: list[Callable[[], object]] = []

    def recv(self, size: int) -> bytes:
        while self.before_reading:
            self.before_reading.pop(0)()
        return self._connection.recv(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Rules(paramiko.ServerInterface):  # type: ignore[misc]
    """What a client may do: log in with the one key, and run commands. Called in the transport's thread."""

    def __init__(self, host: DemoHost, wire: _Wire) -> None:
        self._host = host
        self._wire = wire
        self._environments: dict[int, dict[bytes, bytes]] = {}
        self.commands: list[threading.Thread] = []

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        is_known = key.asbytes() == self._host.client_key.asbytes()
        return int(paramiko.AUTH_SUCCESSFUL if is_known else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind == "session":
            return int(paramiko.OPEN_SUCCEEDED)
        return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    def check_channel_env_request(self, channel: Any, name: bytes, value: bytes) -> bool:
        self._environments.setdefault(channel.get_id(), {})[name] = value
        return True

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        environment = {
            b"PATH": os.environb.get(b"PATH", os.defpath.encode()),
            b"HOME": os.fsencode(Path.home()),
            b"HOSTNAME": self._host.name.encode(),
            **self._environments.pop(channel.get_id(), {}),
        }
        # A quick command must not close its channel before the client was told that it began.
        self._wire.before_reading.append(partial(self._start, channel, command, environment))
        return True

    def _start(self, *arguments: Any) -> None:
        thread = threading.Thread(target=_execute, args=arguments, daemon=True)
        thread.start()
        self.commands = [*filter(threading.Thread.is_alive, self.commands), thread]


def _execute(channel: Any, command: bytes, environment: dict[bytes, bytes]) -> None:
    """Run `command` with the channel as its streams; kill its process group if the channel closes first."""
    try:
        with subprocess.Popen(
            [b"/bin/sh", b"-c", command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        ) as process:
            feeder = threading.Thread(target=_feed, args=(channel, process.stdin), daemon=True)
            feeder.start()
            with contextlib.suppress(OSError):  # the channel closed while we wrote to it
                _relay(channel, process)
            if process.returncode is None or channel.closed:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            else:
                code = process.returncode
                channel.send_exit_status(code if code >= 0 else 128 - code)  # as a shell says it
            channel.close()
            feeder.join()
    except (OSError, ValueError) as error:  # no memory for a process, or a NUL in the command
        log.warning("cannot run %r: %s", command, error)
    except EOFError:  # the client hung up before it was told the end
        pass
    finally:
        with contextlib.suppress(EOFError):
            channel.close()


def _feed(channel: Any, stdin: IO[bytes]) -> None:
    """Hand the client's input to the command until either has enough."""
    with contextlib.suppress(OSError), stdin:
        while data := channel.recv(65536):
            stdin.write(data)


def _relay(channel: Any, process: subprocess.Popen[bytes]) -> None:
    """Send output as it comes, until it ended and the process too, or the channel is closed."""
    assert process.stdout is not None and process.stderr is not None
    with selectors.DefaultSelector() as streams:
        streams.register(process.stdout, selectors.EVENT_READ, channel.sendall)
        streams.register(process.stderr, selectors.EVENT_READ, channel.sendall_stderr)
        while streams.get_map() and not channel.closed:
            for stream, _ in streams.select(0.1):
                if data := os.read(stream.fd, 65536):
                    stream.data(data)
                else:
                    streams.unregister(stream.fileobj)
    while process.poll() is None and not channel.closed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
