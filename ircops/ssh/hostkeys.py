"""Is it the host it says it is? One index of every known_hosts file; strict or accept-new; pins."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import logging
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ircops.config import Ssh
from ircops.errors import OpsError
from ircops.ssh import certificates
from ircops.ssh.changes import Stamp, stamps
from ircops.ssh.inventory import Host

log = logging.getLogger(__name__)

# Names of signatures by the type of key, best first; `ssh-rsa` the key is fine, the SHA-1 signature is not.
ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}


_WILD = re.compile(r"[*?!]")


class Known(NamedTuple):
    """A key on a line of known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

    type: str
    blob: bytes
    is_revoked: bool
    where: str  # file:line
    is_authority: bool = False  # it signs the keys of hosts, and is none of them


class Kept(NamedTuple):
    """What known_hosts has on one host."""

    exact: list[Known]  # its keys, by its exact names
    loose: list[Known]  # by names that leave out the port
    authorities: list[Known]
    revoked: list[Known]


class HostKeys:
    """Which keys hosts have. Used from any thread; the files are read again when they change."""

    def __init__(self, ssh: Ssh) -> None:
        self._files = tuple(path.expanduser() for path in ssh.known_hosts)
        self._accepts_new = ssh.host_keys == "accept-new"
        self._lock = threading.Lock()
        self._stamps: dict[Path, Stamp] = {}
        self._index = _Index(())

    def algorithms(self, host: Host) -> tuple[str, ...]:
        """What to ask `host` to prove itself with: the types of key we know of it first, as OpenSSH does.

        Otherwise a host that is known by one of its keys and shows another would look unknown.
        """
        kept = self._known(host)
        known = {entry.type for entry in kept.exact or kept.loose}
        types = sorted(ALGORITHMS, key=lambda type: type not in known)
        plain = [algorithm for type in types for algorithm in ALGORITHMS[type]]
        certified = [name + certificates.SUFFIX for name in plain] if kept.authorities else []
        return (*certified, *plain)

    def check(self, host: Host, key: Any) -> None:
        """Raise OpsError unless `key`, a paramiko PKey that has signed this session, is that of `host`.

        A key with a certificate of an authority of this host is; else it must be known itself.
        """
        blob = key.asbytes()
        shown = f"{key.algorithm_name} {fingerprint(blob)}"
        exact, loose, authorities, revoked = self._known(host)
        certificate = key.public_blob and certificates.parse(key.public_blob.key_blob)
        signer = certificates.authority(certificate) if certificate else b""
        for entry in revoked:
            if entry.blob == blob:
                raise OpsError(f"host key REVOKED ({entry.where}): {shown}; refusing")
            if entry.blob == signer:
                raise OpsError(f"its certificate authority is REVOKED ({entry.where}); refusing")
        if host.pin:
            if host.pin != fingerprint(blob):
                raise OpsError(
                    f"host key CHANGED: it is {shown}, expected {host.pin} (pinned); refusing"
                )
        elif any(entry.blob == blob for entry in exact):
            return
        elif any(entry.blob == signer for entry in authorities):
            names = (host.alias,) if host.alias else (host.address, host.name)
            certificates.check(certificate, key.public_blob.key_blob, names)
        elif exact:
            entry = next((entry for entry in exact if entry.type == key.get_name()), exact[0])
            expected = f"{fingerprint(entry.blob)} ({entry.where})"
            raise OpsError(f"host key CHANGED: it is {shown}, expected {expected}; refusing")
        elif any(entry.blob == blob for entry in loose):
            return
        elif self._accepts_new:
            self._accept(host, key)
        else:
            if authorities:
                shown += f", not signed by the authority in {authorities[0].where}"
            port = "" if host.port == 22 else f"-p {host.port} "
            file = self._files[0] if self._files else "known_hosts"
            raise OpsError(
                f"unknown host key {shown}; if that is right, add it to known_hosts: "
                f"ssh-keyscan {port}{host.address} >> {file}"
            )

    def _known(self, host: Host) -> Kept:
        with self._lock:
            self._refresh()
            return self._look_up(host)

    def _look_up(self, host: Host) -> Kept:
        exact, loose = ([self._index.find(name) for name in names] for names in _names(host))
        every = [entry for entries in (*exact, *loose) for entry in entries]
        return Kept(
            next(filter(None, map(_valid, exact)), []),  # of the first name that has some
            next(filter(None, map(_valid, loose)), []),
            [entry for entry in every if entry.is_authority],
            [entry for entry in every if entry.is_revoked],
        )

    def _refresh(self) -> None:
        now = stamps(self._files)
        if now != self._stamps:
            self._index = _Index(self._files)
            self._stamps = now

    def _accept(self, host: Host, key: Any) -> None:
        """Append to the first file, where other programs append, too."""
        if not self._files:
            raise OpsError("unknown host key, and no file to add it to; set known_hosts in [ssh]")
        path = self._files[0]
        name = _names(host)[0][0]
        line = f"{name} {key.get_name()} {key.get_base64()}"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock, open(path, "a+b", buffering=0, opener=_private) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._refresh()
                if not self._look_up(host).exact:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(size - 1, 0))
                    is_whole = file.read(1) in (
                        b"",
                        b"\n",
                    )  # or has somebody left an unfinished line?
                    file.write(f"{'' if is_whole else os.linesep}{line}\n".encode())
                    self._index.add(line, f"{path}, accepted")
                    self._stamps = stamps(self._files)
                    log.warning("%s: new host key accepted: %s", host.name, line)
                    return
        except OSError as error:
            raise OpsError(f"cannot add its host key to {path}: {error.strerror}") from None
        self.check(host, key)  # another bot was faster; was it shown the same key?


class _Index:
    """Every line of the files, found by name; parsed in one pass, paramiko's own loader is quadratic."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._plain: dict[str, list[Known]] = {}
        self._hashed: list[tuple[bytes, bytes, Known]] = []  # salt, HMAC-SHA1 of the name
        self._patterns: list[
            tuple[re.Pattern[str], re.Pattern[str], Known]
        ] = []  # wanted, unwanted
        self._found: dict[
            str, list[Known]
        ] = {}  # the hashed ones cost some µs a line to look through
        for path in files:
            lines = enumerate(_lines(path), 1)
            if bad := [number for number, line in lines if not self.add(line, f"{path}:{number}")]:
                more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
                log.warning("%s:%d: not a line of known_hosts%s; passed over", path, bad[0], more)

    def add(self, line: str, where: str) -> bool:
        """Take one line in; False if it is none."""
        fields = line.split()
        if not fields or fields[0][0] == "#":
            return True
        marker = fields.pop(0) if fields[0][0] == "@" else ""
        if len(fields) < 3 or marker not in ("", "@revoked", "@cert-authority"):
            return False
        names, type, text, *_ = fields
        try:
            blob = binascii.a2b_base64(text, strict_mode=True)
            if not blob.startswith(type.encode(), 4) or blob[3] != len(type):
                return False
            entry = Known(type, blob, marker == "@revoked", where, marker == "@cert-authority")
            if names.startswith("|1|"):
                salt, digest = names[3:].split("|")
                hashed = binascii.a2b_base64(salt), binascii.a2b_base64(digest)
                self._hashed.append((*hashed, entry))
            elif _WILD.search(names):
                self._patterns.append((*_pattern(names), entry))
            else:
                for name in names.lower().split(","):
                    self._plain.setdefault(name, []).append(entry)
        except ValueError:  # binascii.Error is one
            return False
        self._found.clear()
        return True

    def find(self, name: str) -> list[Known]:
        """Every entry for `name`: `10.0.0.1`, or `[10.0.0.1]:2222`."""
        name = name.lower()
        if name not in self._found:
            secret = name.encode()
            self._found[name] = [
                *self._plain.get(name, ()),
                *(
                    e
                    for salt, digest, e in self._hashed
                    if hmac.digest(salt, secret, "sha1") == digest
                ),
                *(
                    e
                    for yes, no, e in self._patterns
                    if yes.fullmatch(name) and not no.fullmatch(name)
                ),
            ]
        return self._found[name]


def fingerprint(blob: bytes) -> str:
    """As `ssh-keygen -l` prints it: `SHA256:…`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _names(host: Host) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What `host` is called in known_hosts: exactly, and without its port.

    By its address, and by its name here. A key without the port is good enough if it is the same one,
    but says nothing if it is another: that may be another sshd (OpenSSH, check_host_key).
    """
    if host.alias:
        return (host.alias,), ()
    plain = tuple(dict.fromkeys((host.address, host.name)))
    if host.port == 22:
        return plain, ()
    return tuple(f"[{name}]:{host.port}" for name in plain), plain


def _valid(entries: list[Known]) -> list[Known]:
    return [entry for entry in entries if not entry.is_revoked and not entry.is_authority]


def _pattern(names: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns with * and ?: what must match, and (after !) must not."""
    parts = names.lower().split(",")
    wanted = [part for part in parts if not part.startswith("!")]
    unwanted = [part[1:] for part in parts if part.startswith("!")]
    return _any_of(wanted), _any_of(unwanted)


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    """One expression for all; fnmatch would take the brackets of `[host]:port` for a range."""
    escaped = (re.escape(part).replace(r"\*", ".*").replace(r"\?", ".") for part in patterns)
    return re.compile("|".join(escaped) or r"(?!)")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s: cannot be read: %s", path, error.strerror)
        return []


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
