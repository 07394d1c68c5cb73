"""Host certificates, made by ssh-keygen: which are believed, and why the others are not."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

from ircops.errors import OpsError
from ircops.ssh.certificates import authority, check, parse

NAMES = ("10.0.0.1", "Web1.example.org")
KINDS = ("ed25519", "ecdsa", "rsa")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of each kind."""
    base = tmp_path_factory.mktemp("authorities")
    for kind in KINDS:
        words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", base / kind]
        subprocess.run([*words, "-b", "2048"] if kind == "rsa" else words, check=True)
    return base


def signed(keys: Path, *options: str, signer: str = "ed25519", key: str = "ed25519") -> bytes:
    """The certificate that the key of `signer` gives to that of `key`."""
    words = ["ssh-keygen", "-q", "-s", keys / signer, "-I", "some", *options, keys / f"{key}.pub"]
    subprocess.run(words, check=True)
    path = keys / f"{key}-cert.pub"
    return _blob(path)


def _blob(path: Path) -> bytes:
    return base64.b64decode(path.read_text().split()[1])


def refusal(blob: bytes, now: float | None = None) -> str:
    with pytest.raises(OpsError) as caught:
        check(parse(blob), blob, NAMES, now)
    return caught.value.message


@pytest.mark.parametrize("signer", KINDS)
@pytest.mark.parametrize("key", KINDS)
def test_a_certificate_of_any_kind_is_believed(keys: Path, signer: str, key: str) -> None:
    blob = signed(keys, "-h", "-n", "web1.example.org", signer=signer, key=key)
    check(parse(blob), blob, NAMES)
    assert authority(parse(blob)) == _blob(keys / f"{signer}.pub")


@pytest.mark.parametrize("names", ["10.0.0.1", "other,WEB1.example.org", "*.example.org", "web?.*"])
def test_it_is_for_the_hosts_it_names(keys: Path, names: str) -> None:
    blob = signed(keys, "-h", "-n", names)
    check(parse(blob), blob, NAMES)


@pytest.mark.parametrize(
    ("options", "why_not"),
    [
        (("-n", "10.0.0.1"), "is a user's; sign it with ssh-keygen -h"),
        (("-h", "-n", "10.0.0.2,*.org?"), "is for 10.0.0.2, *.org?, not for 10.0.0.1 or web1."),
        (("-h",), "is for nobody, not for"),
        (("-h", "-n", "10.0.0.1", "-O", "critical:x=y"), "has options unknown here: x"),
        (("-h", "-n", "10.0.0.1", "-V", "20300101:20310101"), "is good from 2030-01-01"),
        (("-h", "-n", "10.0.0.1", "-V", "20200101:20210101"), "has expired (2021-01-01"),
    ],
)
def test_it_is_refused_with_the_reason(keys: Path, options: tuple[str, ...], why_not: str) -> None:
    assert f"its host certificate {why_not}" in refusal(signed(keys, *options))


def test_its_time_ends_at_the_second(keys: Path) -> None:
    blob = signed(keys, "-h", "-n", "10.0.0.1", "-V", "+1h")
    end = load_ssh_public_identity((keys / "ed25519-cert.pub").read_bytes()).valid_before  # type: ignore[union-attr]
    check(parse(blob), blob, NAMES, end - 1)
    assert time.time() < end
    assert "has expired" in refusal(blob, end)


@pytest.mark.parametrize("signer", KINDS)
def test_a_changed_bit_is_a_wrong_signature(keys: Path, signer: str) -> None:
    blob = signed(keys, "-h", "-n", "10.0.0.1", signer=signer)
    at = blob.index(b"10.0.0.1")
    forged = blob[:at] + b"10.0.0.2" + blob[at + 8 :]
    assert "wrong signature" in refusal(forged)


def test_a_signature_with_sha1_is_refused(keys: Path) -> None:
    blob = signed(keys, "-h", "-n", "10.0.0.1", "-t", "ssh-rsa", signer="rsa")
    assert "signed with SHA-1" in refusal(blob)


def test_every_cut_of_a_certificate_is_a_sentence(keys: Path) -> None:
    blob = signed(keys, "-h", "-n", "10.0.0.1")
    for size in range(len(blob)):
        with pytest.raises(OpsError):
            parse(blob[:size])


def test_a_plain_key_is_no_certificate(keys: Path) -> None:
    with pytest.raises(OpsError, match="is a plain key"):
        parse(_blob(keys / "ed25519.pub"))


@pytest.mark.parametrize("signer", KINDS)
def test_no_byte_can_be_changed(keys: Path, signer: str) -> None:
    blob = signed(keys, "-h", "-n", "10.0.0.1", signer=signer, key=signer)
    for at in range(len(blob)):
        forged = blob[:at] + bytes([blob[at] ^ 0x41]) + blob[at + 1 :]
        with pytest.raises(OpsError):
            found = parse(forged)
            authority(found)
            check(found, forged, NAMES)
