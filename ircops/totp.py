"""One-time codes (RFC 6238): who has an authenticator, which codes are used up, who gave one lately.

The secrets are in a file of their own that only the bot's user can read. It is read anew for each question
and changed under a lock, for `ircops totp` at a shell changes it while the bot runs. That somebody gave a code
is kept in memory alone: after a restart everybody gives another one.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ircops.errors import Denied, OpsError
from ircops.shapes import folded

FILE = "totp.json"
REMEDY = "run this as the bot's user"
STEP = 30  # seconds a code is shown (RFC 6238 §5.2)
DRIFT = 1  # steps a clock may be off, either way
TRIES = 3  # wrong codes in a row without a wait
FIRST_WAIT = 30.0  # seconds after them; then twice as long each time
LONGEST_WAIT = 86400.0


class Totp:
    """The codes of all accounts; an account is named as in [roles]. Any thread; reads and writes a file."""

    def __init__(self, state: Path, now: Callable[[], float] = time.time) -> None:
        """`now` is seconds since 1970."""
        self._path = state / FILE
        self._now = now
        self._given: dict[str, tuple[str, float]] = {}  # account -> its secret then, and when

    def add(self, account: str, issuer: str) -> str:
        """Make a secret for `account` and give it as an otpauth:// link. OpsError if it has one."""
        import pyotp

        with self._changed() as known:
            if folded(account) in known:
                raise OpsError(f"{account} has one already; ircops totp remove {account} first")
            secret = pyotp.random_base32()
            known[folded(account)] = {"secret": secret, "used": 0, "wrong": 0, "wait": 0.0}
        link: str = pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)
        return link

    def remove(self, account: str) -> None:
        """Forget its secret, and a code that it gave. OpsError if it has none."""
        with self._changed() as known:
            if known.pop(folded(account), None) is None:
                raise OpsError(
                    f"{account} has none; there are {', '.join(sorted(known)) or 'none'}"
                )

    @property
    def accounts(self) -> list[str]:
        """Who has one, in lower case."""
        return sorted(self._read())

    def is_enrolled(self, account: str) -> bool:
        return folded(account) in self._read()

    def is_given(self, account: str, seconds: float) -> bool:
        """`account` gave a code in the last `seconds`, and its secret is still the same."""
        secret, at = self._given.get(folded(account), ("", 0.0))
        if not 0 <= self._now() - at < seconds:
            return False
        return bool(self._read().get(folded(account), {}).get("secret") == secret)

    def give(self, account: str, code: str) -> None:
        """Take a code. Raises Denied if it is wrong, used, or tried too soon after wrong ones."""
        with self._changed() as known:
            entry = known.get(folded(account))
            if entry is None:
                raise Denied(
                    f"{account} has no authenticator; an admin runs ircops totp add {account}"
                )
            now = self._now()
            if now < entry["wait"]:
                raise Denied(f"too many wrong codes; wait {entry['wait'] - now:.0f} s")
            step = self._step(entry, code)
            refusal = ""
            if not step:
                self._wrong(entry, now)
                refusal = "wrong code; see that both clocks are right"
            elif step <= entry["used"]:
                refusal = "this code is used or void; wait for the next"
            else:
                entry.update(used=step, wrong=0)
        if refusal:  # out here, for what was changed has to be kept
            raise Denied(refusal)
        self._given[folded(account)] = entry["secret"], now

    def burn(self, account: str, code: str) -> None:
        """Make a code void that others have seen, and all before it."""
        with self._changed() as known:
            if entry := known.get(folded(account)):
                entry["used"] = max(entry["used"], self._step(entry, code))

    def _step(self, entry: dict[str, Any], code: str) -> int:
        """The time step whose code this is; 0 for a wrong one."""
        import pyotp

        digits = re.sub(r"[\s-]", "", code).encode()
        current = int(self._now()) // STEP
        totp = pyotp.TOTP(entry["secret"])
        for step in range(current - DRIFT, current + DRIFT + 1):
            if hmac.compare_digest(totp.generate_otp(step).encode(), digits):
                return step
        return 0

    def _wrong(self, entry: dict[str, Any], now: float) -> None:
        entry["wrong"] += 1
        if entry["wrong"] >= TRIES:
            wait = FIRST_WAIT * 2 ** min(entry["wrong"] - TRIES, 20)
            entry["wait"] = now + min(wait, LONGEST_WAIT)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            known: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise OpsError(f"cannot read {self._path}: {error}; {REMEDY}") from None
        return known

    @contextmanager
    def _changed(self) -> Iterator[dict[str, dict[str, Any]]]:
        """What is known, to be changed in the block and on the disk after it; nobody else changes it meanwhile."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o710)
            lock = self._for_the_owner(str(self._path.with_suffix(".lock")), os.O_CREAT | os.O_RDWR)
        except OSError as error:
            raise OpsError(f"cannot write {self._path}: {error.strerror}; {REMEDY}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            yield known
            new = self._path.with_suffix(".new")
            with open(new, "w", opener=self._for_the_owner) as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise OpsError(f"cannot write {self._path}: {error.strerror}; {REMEDY}") from None
        finally:
            os.close(lock)

    def _for_the_owner(self, path: str, flags: int) -> int:
        """Open a file that only the bot's user can read, even if root makes it."""
        opened = os.open(path, flags, 0o600)
        owner = self._path.parent.stat()
        if os.geteuid() == 0:
            os.fchown(opened, owner.st_uid, owner.st_gid)
        return opened
