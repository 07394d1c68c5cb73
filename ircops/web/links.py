"""Links to pages: whoever has one may see that page until it expires; nobody can guess or change one.

    https://ops.example.org/graph/web1/load?hours=24&until=1764410400&key=…

`key` is an HMAC-SHA256, cut to 128 bits (RFC 2104 §5), of all that stands between base URL and `&key=`. Its secret
is a file of its own in `[bot] state`: without it every link ever given is void.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from ircops.config import Web
from ircops.errors import OpsError

FILE = "web.key"
SIZE = 16  # bytes of a signature
PLAIN = "/:@,~"  # need no %XX in a path; clients take them for a part of the link


class Links:
    """Makes and checks links. Any thread."""

    def __init__(
        self,
        settings: Web,
        secret: Callable[[], bytes],
        is_open: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`is_open`: somebody answers there at this moment. `now` is seconds since 1970."""
        self._settings, self._secret = settings, secret
        self._is_open, self._now = is_open, now

    def to(self, page: str, seconds: float = 0.0) -> str:
        """A link to `page` for so long, else for `link_time`; "" if the web is off.

        `job/42`, `graph/web1/load?hours=24`; what is no letter in a name is written with %XX.
        """
        if not self._settings.listen or not self._is_open():
            return ""
        return self.until(page, int(self._now() + (seconds or self._settings.link_time)))

    def until(self, page: str, expiry: int) -> str:
        """The same, good until `expiry`, in seconds since 1970: for links on a page, which must not outlive it."""
        path, _, query = page.partition("?")
        place = _place(unquote(path), f"{query}&until={expiry}".removeprefix("&"))
        return f"{self._settings.base}{place}&key={self._key(place)}"

    def expiry(self, path: str, query: str) -> int | None:
        """When a link ends, or has ended; None if it is none of ours. `path` comes after the base URL, without %XX."""
        signed, _, key = query.rpartition("&key=")
        if not hmac.compare_digest(self._key(_place(path, signed)).encode(), key.encode()):
            return None
        return int(signed.rpartition("until=")[2])

    def is_over(self, expiry: int) -> bool:
        return self._now() >= expiry

    def _key(self, place: str) -> str:
        signature = hmac.digest(self._secret(), place.encode(errors="replace"), "sha256")
        return base64.b32encode(signature[:SIZE]).decode().rstrip("=").lower()


def _place(path: str, query: str) -> str:
    """One spelling of a place, however a client or a proxy has written it."""
    return f"{quote(path, safe=PLAIN)}?{query}"


def secret(state: Path) -> bytes:
    """The secret in `state`, made at the first use, for the bot's user only. Raises OpsError."""
    path = state / FILE
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise OpsError(f"others may read {path}, so links could be forged; rm it for a new one")
        found = path.read_bytes()
    except OSError as error:
        raise OpsError(f"cannot use {path}: {error.strerror}; links need it") from None
    if len(found) < 32:
        raise OpsError(f"{path} is cut short; rm it for a new one, old links are void then")
    return found


def _make(path: Path) -> None:
    """Write it whole or not at all; of two processes that do, the first wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
