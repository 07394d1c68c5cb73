"""One connection to one server: opened, read line by line, noticed when it is dead.

All that we take of the irc library is in here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from irc.client_aio import AioConnection, AioReactor, IrcProtocol
from irc.connection import AioFactory

from ircops import config
from ircops.errors import Refused
from ircops.irc.ends import Unavailable, numbers
from ircops.irc.protocol import Line, LineBuffer, build, parse

log = logging.getLogger(__name__)

HAPPY_EYEBALLS = 0.25  # seconds before the next address is tried beside the first (RFC 8305 §8)

TCP_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux's
TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


class Socket(IrcProtocol):  # type: ignore[misc]  # the library is not typed
    """asyncio's view of a connection. TCP_NODELAY is set by asyncio itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._socket: socket.socket = transport.get_extra_info("socket")
        self.connection.opened(self, transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Linux goes back to delaying ACKs by itself, and then the server's Nagle holds its lines back for 40 ms.
        if TCP_QUICKACK is not None and self.connection.connected:
            self._socket.setsockopt(socket.IPPROTO_TCP, TCP_QUICKACK, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.connection.protocol is self:
            self.connection.disconnect(exc or Unavailable("closed by the server"))


class Wire(AioConnection):  # type: ignore[misc]
    """The library's connection, with our line buffer, our parser and our sender in place of its own.

    Its own decode strictly, raise for lines that make no sense, let CR through, and say NICK before CAP.
    """

    protocol_class = Socket
    buffer_class = LineBuffer
    protocol: Socket | None = None  # the present one: an old one may still have a word to say

    async def dial(
        self,
        address: config.Address,
        network: config.Network,
        on_open: Callable[[asyncio.Transport], None],
        on_line: Callable[[Line], None],
        on_end: Callable[[Exception], None],
    ) -> None:
        """`connect` as the settings of `network` say, in the time they give. Raises OSError and Refused."""

        def opened(transport: asyncio.Transport) -> None:
            set_user_timeout(transport, network.ping_interval + network.ping_timeout)
            if network.tls and network.tls_fingerprint:
                check_pin(transport, network.tls_fingerprint)
            on_open(transport)

        async with asyncio.timeout(network.connect_timeout):
            await self.connect(address, opened, on_line, on_end, **options(network, address))

    async def connect(
        self,
        address: config.Address,
        on_open: Callable[[asyncio.Transport], None],
        on_line: Callable[[Line], None],
        on_end: Callable[[Exception], None],
        **options: Any,
    ) -> None:
        """Open a connection and say nothing; `options` are those of `loop.create_connection`.

        Raises OSError. After `on_open`, and only then, there is one `on_end`, with the reason.
        """
        self.buffer = self.buffer_class()
        self._on_open, self._on_line, self._on_end = on_open, on_line, on_end
        self.protocol = self.protocol_class(self, self.reactor.loop)
        await AioFactory(**options)(self.protocol, (address.host, address.port))

    def opened(self, protocol: Socket, transport: asyncio.Transport) -> None:
        if protocol is not self.protocol:  # given up while it was being made
            transport.abort()
            return
        self.transport, self.connected = transport, True
        try:
            self._on_open(transport)
        except Unavailable as error:
            self.disconnect(error)
        except ValueError as error:  # what the settings want said cannot be said
            self.disconnect(Refused(str(error)))

    def _process_line(self, line: bytes) -> None:
        """Take one line; whatever is wrong with it, the next one is not concerned."""
        if not self.connected:
            return
        try:
            parsed = parse(line)
            if parsed is not None:
                self._on_line(parsed)
        except (Refused, Unavailable) as error:
            self.disconnect(error)
        except Exception:
            log.exception("left a line of the server alone: %r", line)

    def send_raw(self, data: bytes) -> None:
        if self.connected:
            self.transport.write(data)

    def disconnect(self, why: Exception) -> None:
        """Hang up; the first reason counts."""
        self.protocol = None
        if self.connected:
            self.connected = False
            self.transport.abort()  # `close` would wait for a peer that may be dead
            self._on_end(why)


class Reactor(AioReactor):  # type: ignore[misc]
    """The library's reactor: it makes wires on our loop."""

    connection_class = Wire


def options(network: config.Network, address: config.Address) -> dict[str, Any]:
    """How to connect: both address families raced, TLS verified against our own CA or the system's.

    With `tls_fingerprint` nothing is verified here: `check_pin` must follow. Raises OSError when a file cannot be
    read, ssl.SSLError when `tls_ca_file` holds no certificate, Refused when `tls_cert_file` is of no use.
    """
    chosen: dict[str, Any] = {}
    if re.search(r"[^\d.:]", address.host):  # of a bare address there is but one to try
        chosen["happy_eyeballs_delay"] = HAPPY_EYEBALLS
    if network.tls:
        context = chosen["ssl"] = ssl.create_default_context(cafile=network.tls_ca_file)
        if network.tls_fingerprint:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if network.tls_cert_file:
            _show_certificate(context, network)
    return chosen


def _show_certificate(context: ssl.SSLContext, network: config.Network) -> None:
    def no_passphrase() -> str:
        raise Refused("the key of tls_cert_file has a passphrase; take it off, or use another key")

    try:
        context.load_cert_chain(network.tls_cert_file, network.tls_key_file, no_passphrase)  # type: ignore[arg-type]
    except ssl.SSLError:
        raise Refused(
            "tls_cert_file and tls_key_file are no certificate and its key, as PEM"
        ) from None


def check_pin(transport: asyncio.Transport, fingerprints: Iterable[str]) -> None:
    """Raises Unavailable when the server's certificate is none of `fingerprints`."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls else b""
    known = {fingerprint.replace(":", "").lower() for fingerprint in fingerprints}
    found = [hashlib.new(name, certificate).hexdigest() for name in ("sha256", "sha512")]
    if not certificate or known.isdisjoint(found):
        raise Unavailable(
            f"the certificate is not the one of tls_fingerprint; it has SHA-256 {found[0]}"
        )


def set_user_timeout(transport: asyncio.Transport, seconds: float) -> None:
    """What we said and nobody confirmed for `seconds` ends the connection (tcp(7)); Linux only."""
    if TCP_USER_TIMEOUT is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, int(seconds * 1000))


def reason(error: Exception) -> str:
    """Why there is no connection, in words for an operator."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}; see tls_ca_file"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}".lower()
    if isinstance(error, OSError):
        words = dict.fromkeys(os.strerror(number).lower() for number in numbers(error))
        return ", ".join(words) or str(error) or "no answer in time"
    return str(error)


class Liveness:
    """Asks a server that is silent whether it is there. Times are of a clock in seconds that never goes back."""

    def __init__(self, interval: float, timeout: float) -> None:
        self._interval, self._timeout = interval, timeout
        self._number = 0
        self._asked_at = 0.0  # for `lag`
        self._is_waiting = False
        self.due = math.inf  # until the first `ping`
        self.lag: float | None = None  # seconds

    def ping(self, now: float) -> bytes:
        self._number += 1
        self._asked_at, self._is_waiting = now, True
        self.due = now + self._timeout
        return build("PING", f"ircops-lag-{self._number}")

    def heard(self, line: Line, now: float) -> None:
        """Take a line; any line is a sign of life."""
        if self.due < math.inf:
            self._is_waiting = False
            self.due = now + self._interval
        if line.command == "PONG" and line.params[-1:] == (f"ircops-lag-{self._number}",):
            self.lag = now - self._asked_at

    def tick(self, now: float) -> list[bytes]:
        """Raises Unavailable when the server is dead."""
        if now < self.due:
            return []
        if self._is_waiting:
            raise Unavailable(f"no word for {self._interval + self._timeout:.0f} s")
        return [self.ping(now)]
