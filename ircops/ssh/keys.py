"""Private keys to log in with: stated files, the agent's, the usual ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import paramiko

from ircops.ssh.inventory import Host

USUAL_KEYS = tuple(Path(f"~/.ssh/id_{kind}") for kind in ("ed25519", "ecdsa", "rsa"))
FAULTS = (paramiko.SSHException, EOFError, OSError)  # paramiko's, for what the other side does


class Keys:
    """Private keys: files are read once, and again when they change.

    The agent is asked at each login: threads cannot share its socket, and ssh-add should have its effect.
    """

    def __init__(self, asks_agent: bool) -> None:
        self._asks_agent = asks_agent
        self._files: dict[Path, tuple[float, Any, str]] = {}  # modified, key, why there is none

    def offers(self, host: Host, notes: list[str]) -> Generator[tuple[str, Any], None, None]:
        """Keys to try, with their names, most likely first; `notes` gets why one cannot be tried."""
        with contextlib.ExitStack() as stack:
            held: dict[bytes, Any] = {}  # by the agent
            if self._asks_agent and Path(os.environ.get("SSH_AUTH_SOCK", "")).is_socket():
                with contextlib.suppress(*FAULTS):
                    agent = stack.enter_context(contextlib.closing(paramiko.Agent()))
                    held = {key.blob: key for key in agent.get_keys()}
            paths = host.keys
            if not paths:
                yield from (("agent", key) for key in held.values())
                usual = (path.expanduser() for path in USUAL_KEYS)
                paths = tuple(path for path in usual if path.exists() and _public(path) not in held)
            for path in paths:
                same = held.pop(_public(path), None)
                key, why = self._read(path)
                if key is not None or same is not None:
                    yield path.name, same if key is None else key
                else:
                    notes.append(why)
            if host.keys and not host.only_these_keys:
                yield from (("agent", key) for key in held.values())

    def _read(self, path: Path) -> tuple[Any, str]:
        try:
            modified = path.stat().st_mtime
            if path not in self._files or self._files[path][0] != modified:
                self._files[path] = (modified, *_load(path))
            return self._files[path][1:]
        except OSError as error:
            return None, f"{path}: {(error.strerror or 'cannot be read').lower()}"


def _load(path: Path) -> tuple[Any, str]:
    try:
        return paramiko.PKey.from_path(path), ""
    except (paramiko.PasswordRequiredException, TypeError):  # TypeError is cryptography's
        return None, f"{path.name} has a passphrase: ssh-add it to the agent"
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError):
        return None, f"{path.name} is no private key of a known kind"


def _public(path: Path) -> bytes:
    """The public half, from the file beside it; empty if there is none."""
    try:
        return bytes(paramiko.PublicBlob.from_file(f"{path}.pub").key_blob)
    except (OSError, ValueError):
        return b""
