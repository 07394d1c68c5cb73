"""Private keys to log in with, and their certificates: stated files, the agent's, the usual ones."""

from __future__ import annotations

import base64
import contextlib
import copy
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import paramiko

from ircops.errors import OpsError
from ircops.ssh import certificates
from ircops.ssh.changes import Stamp, stamps
from ircops.ssh.inventory import Host

USUAL_KEYS = tuple(Path(f"~/.ssh/id_{kind}") for kind in ("ed25519", "ecdsa", "rsa"))
FAULTS = (paramiko.SSHException, EOFError, OSError)  # paramiko's, for what the other side does

_FORMAT = b"openssh-key-v1\0"  # of private keys since OpenSSH 7.8 (PROTOCOL.key)


class Keys:
    """Private keys: files are read once, and again when they change.

    The agent is asked at each login: threads cannot share its socket, and ssh-add should have its effect.
    """

    def __init__(self, asks_agent: bool) -> None:
        self._asks_agent = asks_agent
        self._files: dict[Any, tuple[Stamp, Any]] = {}  # and what was made of it

    def offers(self, host: Host, notes: list[str]) -> Generator[tuple[str, Any], None, None]:
        """Keys to try, with their names, most likely first; `notes` gets why one cannot be tried.

        A key that has a certificate is offered with it first, then by itself, as OpenSSH does.
        """
        with contextlib.ExitStack() as stack:
            held: dict[bytes, list[Any]] = {}  # by the agent: a key, and certificates of it
            if self._asks_agent and Path(os.environ.get("SSH_AUTH_SOCK", "")).is_socket():
                with contextlib.suppress(*FAULTS):
                    agent = stack.enter_context(contextlib.closing(paramiko.Agent()))
                    for key in agent.get_keys():
                        held.setdefault(_certified(key), []).append(key)
            paths = host.keys
            if not paths:
                yield from _all(held)
                usual = (path.expanduser() for path in USUAL_KEYS)
                paths = tuple(
                    path for path in usual if path.exists() and self._public(path) not in held
                )
            for path in paths:
                yield from self._of_file(path, held.pop(self._public(path), []), host, notes)
            if host.keys and not host.only_these_keys:
                yield from _all(held)

    def _of_file(
        self, path: Path, held: list[Any], host: Host, notes: list[str]
    ) -> Iterator[tuple[str, Any]]:
        """What one stated file amounts to; `held` is what the agent has of the same key."""
        key, why = self._kept(path, _load)
        plain = key or next((each for each in held if not each.public_blob), None)
        if plain is not None:
            beside = Path(f"{path}-cert.pub")
            for at in [beside, host.certificate] if host.certificate else [beside]:
                certificate, subject, end = self._kept(at, _certificate)
                if certificate is None or time.time() >= end:
                    notes += [f"{at.name} has expired ({certificates.day(end)})"] * bool(subject)
                elif subject == plain.asbytes():
                    yield at.name, _with(plain, certificate)
        yield from ((f"{path.name} (agent)", each) for each in held if each.public_blob)
        if plain is not None:
            yield path.name, plain
        elif not held:
            notes.append(why)

    def _public(self, path: Path) -> bytes:
        found: bytes = self._kept(Path(f"{path}.pub"), _blob) or self._kept(path, _own_public)
        return found

    def _kept(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """What `read` makes of a file, until it changes."""
        name = path, read  # one file may be read in two ways
        stamp = stamps([path])[path]
        if name not in self._files or self._files[name][0] != stamp:
            self._files[name] = (stamp, read(path))
        return self._files[name][1]


def _all(held: dict[bytes, list[Any]]) -> Iterator[tuple[str, Any]]:
    for keys in held.values():
        yield from (("agent", key) for key in sorted(keys, key=lambda key: not key.public_blob))


def _certified(key: Any) -> bytes:
    """The public half of a key of the agent; one that is a certificate is made to be shown as such."""
    if key.get_name().endswith(certificates.SUFFIX):
        with contextlib.suppress(OpsError):
            subject = certificates.subject(certificates.parse(key.blob))
            key.public_blob = paramiko.PublicBlob(key.get_name(), key.blob)
            return subject
    return bytes(key.blob)


def _with(key: Any, certificate: Any) -> Any:
    """The same key, shown by its certificate."""
    is_held = isinstance(key, paramiko.AgentKey)
    twin = paramiko.AgentKey(key.agent, key.blob) if is_held else copy.copy(key)
    twin.public_blob = certificate
    return twin


def _load(path: Path) -> tuple[Any, str]:
    """A private key, or why there is none."""
    try:
        key = paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):  # TypeError is cryptography's
        return None, f"{path.name} has a passphrase: ssh-add it to the agent"
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError):
        return None, f"{path.name} is no private key of a known kind"
    except OSError as error:
        return None, f"{path}: {(error.strerror or 'cannot be read').lower()}"
    key.public_blob = None  # it has looked for a certificate, too, but would show nothing else then
    return key, ""


def _certificate(path: Path) -> tuple[Any, bytes, float]:
    """A certificate, the key it is for, and when it ends; None if there is none."""
    try:
        blob = paramiko.PublicBlob.from_file(str(path))
        found = certificates.parse(blob.key_blob)
    except (OSError, ValueError, OpsError):
        return None, b"", 0
    return blob, certificates.subject(found), found.valid_before


def _blob(path: Path) -> bytes:
    """The key in a public file; empty if there is none."""
    try:
        return bytes(paramiko.PublicBlob.from_file(str(path)).key_blob)
    except (OSError, ValueError):
        return b""


def _own_public(path: Path) -> bytes:
    """The public half that a private file shows even when it is encrypted; or the file is a public one."""
    try:
        lines = path.read_text("ascii").splitlines()
        private = base64.b64decode("".join(lines[1:-1]))
    except (OSError, ValueError):
        return b""
    if not private.startswith(_FORMAT):
        return _blob(path)
    message = paramiko.Message(private[len(_FORMAT) :])
    for _ in ("cipher", "kdf", "its options"):
        message.get_binary()
    message.get_int()  # keys: always one
    return bytes(message.get_binary())
