"""Small files to a host and from it, by SFTP: whole, proved by their digest, under their name only when that is done."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import paramiko

from ircops.errors import OpsError
from ircops.ssh.keys import FAULTS

if TYPE_CHECKING:
    from ircops.ssh.pool import Pool

LARGEST = 10 * 1024 * 1024  # bytes; both ends hold it whole


@contextlib.contextmanager
def opened(pool: Pool, host: str, patience: float) -> Iterator[Any]:
    """A paramiko SFTPClient for the block; each answer may take `patience` seconds. Raises OpsError."""
    with pool.session(host) as channel:
        channel.settimeout(patience)
        try:
            channel.invoke_subsystem("sftp")
            client = paramiko.SFTPClient(channel)
        except FAULTS:
            raise OpsError("it takes no files (no SFTP there)") from None
        yield client


def put(client: Any, data: bytes, path: str, mode: int, digest_there: Callable[[str], str]) -> None:
    """Write `data` as `path`: into a file beside it that takes its name in one step, or not at all.

    `digest_there` gives the SHA-256 of a file there, hex, or "" if it cannot; then the file is read back.
    Raises OpsError.
    """
    temporary = f"{path}.{secrets.token_hex(8)}"
    with _told(path):
        with client.open(temporary, "wx") as file:
            file.set_pipelined(True)
            file.chmod(stat.S_IMODE(mode))  # before there is anything to read in it
            file.write(data)
        try:
            there = digest_there(temporary)
            if not there:
                with client.open(temporary, "rb") as file:
                    there = hashlib.sha256(file.read(len(data) + 1)).hexdigest()
            if there != hashlib.sha256(data).hexdigest():
                raise OpsError(f"{path}: what arrived is not what was sent; nothing was changed")
            client.posix_rename(temporary, path)
        except BaseException:
            remove(client, temporary)
            raise


def get(client: Any, path: str) -> bytes:
    """What a regular file holds. Raises OpsError, also for one that is too large."""
    with _told(path):
        if not stat.S_ISREG(client.stat(path).st_mode):
            raise OpsError(f"{path} is no regular file")
        with client.open(path, "rb") as file:
            data = bytes(file.read(LARGEST + 1))
    if len(data) > LARGEST:
        raise OpsError(f"{path} is larger than {LARGEST // 1048576} MiB; fetch it with scp")
    return data


def remove(client: Any, path: str) -> None:
    """Remove a file if that can be."""
    with contextlib.suppress(*FAULTS):
        client.remove(path)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """What goes wrong in the block is raised as a sentence."""
    try:
        yield
    except TimeoutError:
        raise OpsError(f"{path}: the host does not answer") from None
    except OSError as error:
        why = {errno.ENOENT: "no such file or directory", errno.EACCES: "permission denied"}
        said = why.get(error.errno or 0, "refused there (is it a directory? is the disk full?)")
        raise OpsError(f"{path}: {said}") from None
    except FAULTS:
        raise OpsError(f"{path}: connection lost") from None
