"""Words without the secrets in them: those we know, and what looks like one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ircops.config import Secret, Settings
from ircops.store.database import password

WORD = r"(?:password|passwd|passphrase|secret|token|api[-_]?key)[\w-]{0,30}"
VALUE = r"""("[^"]*"?|'[^']*'?|\S+)"""
PATTERNS = (  # what stands before a secret, the secret, what stands after it
    rf"({WORD}\s*[=:]\s*){VALUE}()",  # password=…, token: …
    rf"((?<![\w-])--[\w-]{{0,30}}{WORD}\s+){VALUE}()",  # --password …
    r"(\b(?:authorization:\s*\w+|bearer)\s+)(\S+)()",
    r"(\btotp\s+)(\d[\d -]*)()",  # totp 123456
    r"(://[^\s/:@]*:)([^\s/@]+)(@)",  # https://user:…@host
    # by their shape, as their makers document it
    r"()(\b(?-i:(?:AKIA|ASIA)[A-Z0-9]{16})\b)()",  # AWS IAM identifiers
    r"()(\b(?:gh[opsur]_[a-z0-9]{36,255}|github_pat_\w{22,255}))()",  # GitHub tokens
    r"()(\bglpat-[\w-]{20,300})()",  # GitLab
    r"()(\bxox[abeprs]-[\w-]{10,300})()",  # Slack
    r"()(\bsk-[\w-]{20,300})()",  # Stripe, OpenAI and others
    r"()(\beyJ[\w-]{8,2000}\.eyJ[\w-]{2,4000}\.[\w-]{0,2000})()",  # JSON Web Tokens (RFC 7519)
    r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)(.+)()",  # RFC 7468, if it is in one line
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
    "akia",
    "asia",
    "gh",
    "glpat-",
    "xox",
    "sk-",
    "eyj",
    "private key",
)
_HINT = re.compile("|".join(HINTS))  # one is in all of them

BEGINS, ENDS = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"), "-----END "
OF_A_KEY = re.compile(r"\s*[\w+/=:,.-]*\s*|.*: .*", re.ASCII)  # base64, or a header (RFC 1421)


class ByLine:
    """Takes lines one after the other, and knows that those after the first of a private key are of it."""

    __slots__ = ("_redact", "is_in_key")

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self.is_in_key = False

    def __call__(self, line: str) -> str:
        if self.is_in_key:
            self.is_in_key = ENDS not in line and OF_A_KEY.fullmatch(line) is not None
            if self.is_in_key:
                return "***\n" if line.endswith("\n") else "***"
        elif "PRIVATE KEY" in line and (begin := BEGINS.search(line)):
            self.is_in_key = ENDS not in line[begin.end() :]
        return self._redact(line)


def redactor(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that puts `***` for each of `secrets`, wherever it stands, and for what looks like one."""
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    known = "|".join(re.escape(secret) for secret in longest_first)
    literal = re.compile(known) if known else None
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in PATTERNS]

    def redact(text: str) -> str:
        if literal:
            text = literal.sub("***", text)
        if _HINT.search(text.casefold()):  # every line said comes by here, and few have one
            for pattern in patterns:
                text = pattern.sub(r"\1***\3", text)
        return text

    return redact


def secrets_of(settings: Settings) -> list[str]:
    """Every secret that the settings hold."""
    found = [settings.bot.copy, Secret(password(settings.bot.database))]
    for network in settings.networks.values():
        found += [value for value in vars(network).values() if isinstance(value, Secret)]
        found += [join.key for join in network.channels]
    for provider in settings.providers.values():
        found += [provider.account, provider.secret]
    return [str.__str__(secret) for secret in found if secret]
