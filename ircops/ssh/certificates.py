"""Host certificates of OpenSSH (PROTOCOL.certkeys): may this one be believed, for that host, by this authority?"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ircops.errors import OpsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import SSHCertificate, SSHCertPublicKeyTypes

SUFFIX = "-cert-v01@openssh.com"
FOREVER = 2**64 - 1


def parse(blob: bytes) -> SSHCertificate:
    """The certificate in its bytes. Raises OpsError when it is none that is known here."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        SSHCertificate,
        load_ssh_public_identity,
    )

    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    try:
        found = load_ssh_public_identity(kind + b" " + base64.b64encode(blob))
        if not isinstance(found, SSHCertificate):
            raise OpsError("its certificate is a plain key")
        found.signature_key()  # is read only when it is asked for
    except (ValueError, UnsupportedAlgorithm, NotImplementedError):
        raise OpsError("its certificate cannot be read; refusing") from None
    return found


def authority(certificate: SSHCertificate) -> bytes:
    """The public key that is said to have signed it, as on a line of known_hosts."""
    return _blob(certificate.signature_key())


def subject(certificate: SSHCertificate) -> bytes:
    """The public key that it is about."""
    return _blob(certificate.public_key())


def _blob(key: SSHCertPublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def check(
    certificate: SSHCertificate, blob: bytes, names: Iterable[str], now: float | None = None
) -> None:
    """Raise OpsError unless it is a host's, signed, in its time, and for one of `names` (sshkey_cert_check_host).

    Stricter than OpenSSH once: one that names no host is believed of none. `blob` is what was parsed, `now`
    seconds since 1970.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import SSHCertificateType

    signer = certificate.signature_key()
    now = time.time() if now is None else now
    try:
        certificate.verify_cert_signature()
    except (InvalidSignature, ValueError):
        raise OpsError("its host certificate has a wrong signature; refusing") from None
    if isinstance(signer, RSAPublicKey):  # the signature is last, behind its kind: ssh-rsa is SHA-1
        kind = blob[: -4 - (signer.key_size + 7) // 8]
        if not kind.endswith((b"rsa-sha2-256", b"rsa-sha2-512")):
            raise OpsError(
                "its host certificate is signed with SHA-1; sign it with -t rsa-sha2-512"
            )
    if certificate.type is not SSHCertificateType.HOST:
        raise OpsError("its host certificate is a user's; sign it with ssh-keygen -h")
    if now < certificate.valid_after:
        raise OpsError(f"its host certificate is good from {day(certificate.valid_after)} only")
    if certificate.valid_before != FOREVER and now >= certificate.valid_before:
        raise OpsError(f"its host certificate has expired ({day(certificate.valid_before)})")
    if certificate.critical_options:
        options = b", ".join(certificate.critical_options).decode(errors="replace")
        raise OpsError(f"its host certificate has options unknown here: {options}")
    wanted = [name.lower() for name in names]
    patterns = [name.decode(errors="replace").lower() for name in certificate.valid_principals]
    if not any(_pattern(pattern).fullmatch(name) for pattern in patterns for name in wanted):
        given = ", ".join(patterns) or "nobody"
        raise OpsError(f"its host certificate is for {given}, not for {' or '.join(wanted)}")


def _pattern(text: str) -> re.Pattern[str]:
    """A name with * and ?."""
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."))


def day(seconds: int) -> str:
    """A moment, for a sentence."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "a far day"
