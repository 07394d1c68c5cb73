"""What a new machine is given before its first boot: a host key that we know, and whom it lets in."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ircops.ssh.hostkeys import fingerprint

HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


@dataclass(frozen=True)
class HostKey:
    """A pair made for one machine; the private half is sent there, and kept nowhere."""

    public: str  # `ssh-ed25519 AAAA…`
    private: str = field(repr=False)  # in OpenSSH's own format

    @property
    def pin(self) -> str:
        return pin(self.public)


def new_host_key() -> HostKey:
    """An ed25519 pair."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption()
    )
    public = key.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    return HostKey(public.decode(), private.decode())


def pin(public: str) -> str:
    """`SHA256:…` of a public key as it stands in a .pub file. Raises ValueError."""
    return fingerprint(base64.b64decode(public.split()[1], validate=True))


def public_halves(keys: Iterable[Path]) -> tuple[str, ...]:
    """The lines of the .pub files beside private keys, where there are some."""
    files = (Path(f"{key.expanduser()}".removesuffix(".pub") + ".pub") for key in keys)
    return tuple(file.read_text().strip() for file in files if file.is_file())


def user_data(name: str, user: str, keys: tuple[str, ...], host_key: HostKey | None) -> str:
    """For cloud-init (its "cloud config data"); JSON, which is YAML, too."""
    config: dict[str, object] = {"hostname": name, "preserve_hostname": False}
    if keys:
        config["ssh_authorized_keys"] = keys
    if user == "root":
        config["disable_root"] = False
    if host_key:
        config["ssh_deletekeys"] = True
        config["ssh_keys"] = {
            "ed25519_private": host_key.private,
            "ed25519_public": f"{host_key.public} {name}",
        }
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


def archive(files: Iterable[tuple[str, str, int]]) -> bytes:
    """A tar of `(path, text, mode)`, all of root's, with the directories above them."""
    buffer, made = io.BytesIO(), set[str]()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text, mode in files:
            for parent in [*Path(path).parents][-2::-1]:
                if str(parent) not in made and parent.name == ".ssh":
                    directory = tarfile.TarInfo(str(parent))
                    directory.type, directory.mode = tarfile.DIRTYPE, 0o700
                    tar.addfile(directory)
                    made.add(str(parent))
            entry, data = tarfile.TarInfo(path), text.encode()
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
