"""Strict transport security: once a server has said that it speaks TLS, we speak nothing else to it until it ends.

What servers said is kept in a small JSON file. On a connection in clear text we believe nothing but `port=`, since
anybody on the way could have said the rest (ircv3.net/specs/extensions/sts).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ircops import config
from ircops.config import Address
from ircops.irc.ends import Unavailable
from ircops.irc.protocol import Line

log = logging.getLogger(__name__)

LONGEST = 10 * 365 * 86400  # seconds; who promises more promises this


class Upgrade(Unavailable):
    """The server wants us on its TLS port, before anything else is said."""

    def __init__(self, port: int) -> None:
        super().__init__(f"the server wants TLS on port {port}")
        self.port = port


@dataclass(frozen=True)
class Policy:
    """What a server promised: TLS on this port, for so many seconds from when we last were there."""

    port: int
    duration: int  # seconds
    expires: float  # seconds since 1970


class Policies:
    """The policies of all hosts. The file is read each time: it is small, and several networks share it."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._path, self._clock = path, clock

    def enforced(self, address: Address, network: config.Network) -> tuple[Address, config.Network]:
        """How to connect to `address`: as the settings say, or by TLS where a policy is alive."""
        policy = self._read().get(address.host.lower())
        if network.tls or policy is None:
            return address, network
        return upgraded(address, network, policy.port)

    def learn(self, address: Address, duration: int) -> None:
        """`address`, which speaks TLS with us, promises to do so for `duration` seconds; 0 ends it."""
        policies = self._read()
        if not duration and address.host.lower() not in policies:
            return
        policies.pop(address.host.lower(), None)
        if duration:
            expires = self._clock() + duration
            policies[address.host.lower()] = Policy(address.port, duration, expires)
        self._write(policies)

    def _read(self) -> dict[str, Policy]:
        """Those that have not expired."""
        try:
            data = json.loads(self._path.read_bytes())
            policies = {host: Policy(**fields) for host, fields in data.items()}
            now = self._clock()
            return {host: policy for host, policy in policies.items() if policy.expires > now}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("%s is of no use: %s; servers will say it again", self._path, error)
            return {}

    def _write(self, policies: Mapping[str, Policy]) -> None:
        """Whole or not at all."""
        text = json.dumps({host: asdict(policy) for host, policy in policies.items()}, indent=1)
        try:
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            try:
                with open(descriptor, "w", encoding="ascii") as file:
                    file.write(text)
                os.replace(name, self._path)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            log.warning("cannot keep what servers say of TLS in %s: %s", self._path, error)


def upgraded(
    address: Address, network: config.Network, port: int
) -> tuple[Address, config.Network]:
    """`address` and `network` with TLS on `port`."""
    return Address(address.host, port), replace(network, tls=True)


class Watch:
    """What the server at `address` says of it, in one connection. `feed` it every line."""

    def __init__(self, policies: Policies, address: Address, is_tls: bool) -> None:
        self._policies, self._address, self._is_tls = policies, address, is_tls
        self._duration = 0  # seconds

    def feed(self, line: Line) -> None:
        """Raises Upgrade on a connection in clear text. `CAP DEL` ends no policy; only duration=0 does."""
        if line.command != "CAP" or line.param(1).upper() not in ("LS", "NEW"):
            return
        for word in " ".join(line.params[2:]).split(" "):
            name, _, value = word.partition("=")
            if name == "sts":
                self._heard(dict(token.partition("=")[::2] for token in value.split(",")))

    def _heard(self, tokens: Mapping[str, str]) -> None:
        port, duration = _number(tokens, "port", 65535), _number(tokens, "duration", LONGEST)
        if not self._is_tls and port:
            raise Upgrade(port)
        if self._is_tls and duration is not None:
            self._duration = duration
            self._policies.learn(self._address, duration)

    def end(self) -> None:
        """The connection is gone: the time of the policy counts from now."""
        if self._duration:
            self._policies.learn(self._address, self._duration)
            self._duration = 0


def _number(tokens: Mapping[str, str], key: str, most: int) -> int | None:
    """A whole number up to `most`; None where there is none."""
    text = tokens.get(key, "")
    return min(int(text), most) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else None
