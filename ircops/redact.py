"""Words without the secrets in them: those we know, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

WORD = r"(?:password|passwd|passphrase|secret|token|api[-_]?key)[\w-]{0,30}"
VALUE = r"""("[^"]*"?|'[^']*'?|\S+)"""
PATTERNS = (  # what stands before a secret, the secret, what stands after it
    rf"({WORD}\s*[=:]\s*){VALUE}()",  # password=…, token: …
    rf"((?<![\w-])--[\w-]{{0,30}}{WORD}\s+){VALUE}()",  # --password …
    r"(\b(?:authorization:\s*\w+|bearer)\s+)(\S+)()",
    r"(\btotp\s+)(\d[\d -]*)()",  # totp 123456
    r"(://[^\s/:@]*:)([^\s/@]+)(@)",  # https://user:…@host
)
HINTS = (
    "pass",
    "secret",
    "token",
    "api",
    "bearer",
    "totp",
    "authorization",
    "://",
)  # one is in all of them


def redactor(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that puts `***` for each of `secrets`, wherever it stands, and for what looks like one."""
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    known = "|".join(re.escape(secret) for secret in longest_first)
    literal = re.compile(known) if known else None
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in PATTERNS]

    def redact(text: str) -> str:
        if literal:
            text = literal.sub("***", text)
        folded = text.casefold()
        if any(hint in folded for hint in HINTS):  # every line said comes by here, and few have one
            for pattern in patterns:
                text = pattern.sub(r"\1***\3", text)
        return text

    return redact
