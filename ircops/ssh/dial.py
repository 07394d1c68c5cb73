"""Opening one SSH connection: dial, exchange keys, check the host's, log in; each with a deadline and a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import threading
import time
from typing import Any

import paramiko
from paramiko.packet import Packetizer

from ircops.config import Ssh
from ircops.errors import OpsError
from ircops.ssh.hostkeys import HostKeys
from ircops.ssh.inventory import Host
from ircops.ssh.keys import FAULTS, Keys

HANDSHAKES = 64  # at once; more only make each other late
BURST = 65536  # bytes

# What is good and every OpenSSH since 6.2 has, the cheapest for us first.
CIPHERS = "aes128-gcm@openssh.com aes256-gcm@openssh.com aes128-ctr aes192-ctr aes256-ctr".split()
DIGESTS = "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-sha2-256 hmac-sha2-512".split()


# Key exchanges, best first: post-quantum; then of equal strength the one that costs a host 3.5 ms of CPU less, of 23,
# for a connection (OpenSSH has NIST's curve from OpenSSL, and its own slow code for the other); then the rest.
EXCHANGES = "mlkem768x25519-sha256 ecdh-sha2-nistp256 curve25519-sha256@libssh.org".split()


class Dialler:
    """Opens connections: dial, exchange keys, check the host's, log in; each within `connect_timeout` seconds."""

    def __init__(self, ssh: Ssh) -> None:
        self._patience = ssh.connect_timeout
        self._keepalive = ssh.keepalive
        self._host_keys = HostKeys(ssh)
        self._keys = Keys(ssh.agent)
        self._handshakes = threading.BoundedSemaphore(HANDSHAKES)
        self._half_open: set[socket.socket] = set()

    def transport(self, host: Host, via: Any = None) -> Any:
        """A paramiko Transport that is logged in, through the Transport `via` if that is given. Raises OpsError."""
        began = time.monotonic()
        try:
            wire = self._dial(host, via)
        except OSError as error:
            raise OpsError(_why(error, time.monotonic() - began)) from None
        except UnicodeError:
            raise OpsError(f"{host.address} cannot be a name in DNS") from None
        transport = _Transport(wire, packetizer_class=_Packetizer)
        try:
            with self._handshakes:
                options = transport.get_security_options()
                options.ciphers, options.digests = CIPHERS, DIGESTS
                options.kex = sorted(options.kex, key=_rank)
                transport.preferred_keys = self._host_keys.algorithms(host)
                self._agree(transport)
                self._host_keys.check(host, transport.host_key)
                self._log_in(transport, host)
            transport.set_keepalive(self._keepalive)
            return transport
        except BaseException:
            transport.close()
            wire.close()
            raise
        finally:
            self._half_open.discard(wire.under)

    def abort(self) -> None:
        """Make those that are under way fail at once."""
        for half_open in list(self._half_open):
            with contextlib.suppress(OSError):
                half_open.shutdown(socket.SHUT_RDWR)

    def _dial(self, host: Host, via: Any) -> _Wire:
        wake = self._keepalive / 2 or 60.0  # how exactly paramiko keeps its keepalive
        if via is not None:
            return _Wire(_forward(host, via, self._patience), wake)
        if host.proxy_command:
            ours, process = _proxy(host.proxy_command)
            self._half_open.add(ours)
            return _Wire(ours, wake, process)
        if not 0 < host.port < 65536:
            raise OpsError(f"there is no port {host.port}")
        failure = OSError(errno.EHOSTUNREACH, "no address")
        deadline = time.monotonic() + self._patience
        found = socket.getaddrinfo(host.address, host.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            tcp = socket.socket(family, kind, protocol)
            self._half_open.add(tcp)
            try:
                tcp.settimeout(max(deadline - time.monotonic(), 0.1))
                tcp.connect(address)
                # without it, Nagle's algorithm costs a command 40 ms
                tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # dead is who does not confirm for so long (ms) what was sent; keepalive sends; 0 = as usual
                unheard = int(self._keepalive * 2000)
                tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unheard)
                return _Wire(tcp, wake)
            except OSError as error:
                failure = error
                self._half_open.discard(tcp)
                tcp.close()
        raise failure

    def _agree(self, transport: Any) -> None:
        """Exchange keys. Raises OpsError."""
        agreed = threading.Event()  # set at the end, good or bad
        transport.banner_timeout = self._patience
        transport.start_client(event=agreed)
        if not agreed.wait(self._patience):
            said = "its sshd is stuck" if transport.remote_version else "no SSH greeting came"
            raise OpsError(f"timed out after {self._patience:g} s: connected, but {said}")
        if transport.initial_kex_done:
            return
        if isinstance(transport.get_exception(), paramiko.IncompatiblePeer):
            raise OpsError("no algorithm in common: its sshd is too old, or allows too little")
        if not transport.remote_version:
            raise OpsError("no SSH server there, or it hangs up on us (MaxStartups? a firewall?)")
        raise OpsError("it hung up during the key exchange")

    def _log_in(self, transport: Any, host: Host) -> None:
        """Offer key after key. Raises OpsError with what was tried, and why it was no use."""
        tried: list[str] = []
        notes: list[str] = []
        transport.auth_timeout = self._patience
        with contextlib.closing(self._keys.offers(host, notes)) as offers:
            for name, key in offers:
                tried.append(name)
                began = time.monotonic()
                try:
                    wanted = transport.auth_publickey(host.user, key)
                except paramiko.BadAuthenticationType as error:
                    notes.append(f"it takes only {', '.join(error.allowed_types)}")
                    break
                except FAULTS:
                    if time.monotonic() - began >= self._patience:
                        raise OpsError(f"timed out after {self._patience:g} s logging in") from None
                    if transport.is_active():
                        continue
                    notes.append("then it hung up (MaxAuthTries? or the agent did not sign)")
                    break
                if not wanted:
                    return
                notes.append(f"the key is right, but it wants {', '.join(wanted)} as well")
                break
        keys = f"{len(tried)} key" if len(tried) == 1 else f"{len(tried)} keys"
        what = f"tried {keys} ({', '.join(tried)})" if tried else "no key to try; set key in [ssh]"
        what = f"permission denied for {host.user}@{host.address}: {what}"
        raise OpsError("; ".join((what, *notes)))


class _Wire:
    """What Transport reads and writes: a socket, or a channel of a jump host.

    It reads what is there in one go, and sleeps until there is something. Transport itself asks for
    a few bytes at a time, and for a time limit of 0.1 s, with which idle connections keep a CPU busy.
    """

    def __init__(
        self, under: Any, wake: float, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        under.settimeout(wake)  # seconds
        self.under = under
        self._process = process
        self._ahead = memoryview(b"")  # read, but not asked for yet
        self._reader: threading.Thread | None = None
        self._closed = False  # Transport looks at it, as at that of a socket

    def recv(self, size: int) -> bytes:
        self._reader = threading.current_thread()
        if not self._ahead:
            self._ahead = memoryview(self.under.recv(BURST))
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        return bytes(piece)

    def send(self, data: bytes) -> int:
        return int(self.under.send(data))

    def settimeout(self, seconds: float) -> None:
        """Not as Transport wants it."""

    def close(self) -> None:
        """Close, or make the thread that reads do so: else it might read from the descriptor's next owner."""
        self._closed = True
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(*FAULTS):
            is_socket = isinstance(self.under, socket.socket)
            if is_socket and self._reader not in (None, threading.current_thread()):
                self.under.shutdown(socket.SHUT_RDWR)
            else:
                self.under.close()


class _Transport(paramiko.Transport):  # type: ignore[misc]
    """Asks for these host keys, and in this order; paramiko's asks for certificates last."""

    preferred_keys: tuple[str, ...] = ()

    def _parse_debug(self, message: Any) -> None:
        """May be ignored (RFC 4253 §11.3); to make it fit for a log costs 0.3 ms of 3 for a connection."""

    def _log(self, level: int, message: Any, *parts: Any) -> None:
        """Nobody hears it: every failure reaches people as a sentence of ours. 0.15 ms of 3 for a connection."""


class _Packetizer(Packetizer):  # type: ignore[misc]
    """Without a timer thread for each handshake: `_agree` keeps the time."""

    def start_handshake(self, timeout: float) -> None:
        pass


def _rank(exchange: str) -> int:
    return EXCHANGES.index(exchange) if exchange in EXCHANGES else len(EXCHANGES)


def _forward(host: Host, via: Any, patience: float) -> Any:
    """A channel of the jump host that leads to `host`. Raises OpsError."""
    there, ours = (host.address, host.port), ("127.0.0.1", 0)
    try:
        return via.open_channel("direct-tcpip", there, ours, timeout=patience)
    except paramiko.ChannelException as error:
        why = "cannot be reached from there"
        if error.code == 1:  # administratively prohibited, RFC 4254 §5.1
            why = "it forwards no connections (AllowTcpForwarding)"
    except FAULTS:
        why = "connection lost"
    raise OpsError(f"through {host.jump.name if host.jump else 'its jump host'}: {why}")


def _proxy(command: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a ProxyCommand, by a shell as ssh_config(5) says; our socket is its standard input and output."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that all of it can be ended
        )
    return ours, process


def _why(error: OSError, seconds: float) -> str:
    """Why a host cannot be dialled, in a sentence."""
    if isinstance(error, socket.gaierror):
        return "no name server answers" if error.errno == socket.EAI_AGAIN else "name not found"
    if isinstance(error, TimeoutError):
        return f"timed out after {seconds:.0f} s"
    if error.errno == errno.EHOSTUNREACH:
        return f"no route to host (after {seconds:.0f} s)"
    if error.errno == errno.EMFILE:
        return "too many open files in the bot; raise LimitNOFILE"
    return (error.strerror or "cannot be reached").lower()
