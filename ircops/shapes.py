"""What a value must look like to be a nick, a channel, a cron line, a time zone: checks for config.py.

A check raises ValueError with what is allowed. It stands in an `Annotated` type, so that the type of
a setting says all there is to say about it.
"""

from __future__ import annotations

import re
import string
import zoneinfo
from calendar import monthrange
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated


class Wrong(ValueError):
    """What is allowed, and the piece of the text that is not: shorter to read, and no secret in it."""

    def __init__(self, shown: str, allowed: str) -> None:
        super().__init__(allowed)
        self.shown = shown


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, if any is near."""
    near = get_close_matches(word, known, 1)
    return f'; did you mean "{near[0]}"?' if near else ""


# Only ASCII letters fold: services treat Alice and alice as one account, but a KELVIN SIGN is no k.
FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(account: str) -> str:
    """The account, or mask, in the one spelling that two of them are compared in."""
    return account.translate(FOLD)


def like(pattern: str, allowed: str) -> Callable[[str], None]:
    """Make a check: a text has this shape."""

    def check(text: str) -> None:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)

    return check


def webhook(url: str) -> None:
    """Check where the record is copied to, if anywhere: not for others to read on the way."""
    if url and not re.fullmatch(r"https://[^\s/]+\S*|http://(localhost|127\.0\.0\.1)[:/]\S*", url):
        raise Wrong("***", "it is https://HOST/PATH, or http:// on localhost")


def above_zero(number: float) -> None:
    """Check a number where 0 would mean never, or all the time."""
    if number <= 0:
        raise ValueError("it is more than 0")


def zone(name: str) -> None:
    """Check the name of a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # there is none, it is no name, it is a directory
        near = did_you_mean(name, zoneinfo.available_timezones())
        raise ValueError(f"it is a name such as UTC or Europe/Berlin{near}") from None


CRON = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, tuple("jan feb mar apr may jun jul aug sep oct nov dec".split())),
    ("weekday", 0, 7, tuple("sun mon tue wed thu fri sat".split())),  # 0 and 7 are Sunday
)


def cron(line: str) -> list[list[int]]:
    """Check a crontab(5) line, and give the numbers that each of its five fields stands for."""
    fields = line.lower().split()
    if len(fields) != len(CRON):
        raise ValueError("it is minute hour day month weekday, as in 0 9 * * mon-fri")
    numbers: list[list[int]] = []
    for text, (name, low, high, names) in zip(fields, CRON, strict=True):
        found: set[int] = set()
        for part in text.split(","):
            if (span := _span(part, low, high, names)) is None:
                or_name = f" or {names[0]}-{names[-1]}" if names else ""
                raise Wrong(f"{name} {part}", f"{name} is {low}-{high}{or_name}")
            found.update(span)
        numbers.append(sorted(found))
    if min(numbers[2]) > max(monthrange(2000, month)[1] for month in numbers[3]):
        raise ValueError("no such month has such a day")
    return numbers


def _span(part: str, low: int, high: int, names: tuple[str, ...]) -> range | None:
    """`*`, `5`, `1-5`, `mon-fri`, each with or without a step: `*/10`; None if it is none of them."""
    match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/0*([1-9]\d*))?", part, re.ASCII)
    ends = [word for word in match.groups()[:2] if word] if match else ["?"]
    if not match or not all(word.isdigit() or word in names for word in ends):
        return None
    numbers = [int(word) if word.isdigit() else low + names.index(word) for word in ends]
    if ends[1:] == ["sun"]:
        numbers[1] = high  # sat-sun ends a week
    if match[3] and len(numbers) == 1:
        numbers.append(high)  # 5/10 is from 5 on
    first, last = (numbers[0], numbers[-1]) if numbers else (low, high)
    return range(first, last + 1, int(match[3] or 1)) if low <= first <= last <= high else None


CHANNEL = r"[#&+!][^\s,:\x00-\x1f]+"  # RFC 2812 §1.3
NETWORK = r"[^\s/]+/"
ACCOUNT = r"[^\s#;:!@*?/]+"
MASK = r"mask:[^\s!]+![^\s@]+@\S+"

PROVEN = rf"unix:\S+|({NETWORK})?{ACCOUNT}"

Count = Annotated[int, above_zero]
Word = Annotated[str, like(r"\S*", "it is one word")]
Nick = Annotated[
    str,  # RFC 2812 §2.3.1
    like(
        r"[A-Za-z[\]\\`_^{|}][-A-Za-z0-9[\]\\`_^{|}]*",
        r"it is of letters, digits and -_[]{}\|^`, with no digit or - in front",
    ),
]
Login = Annotated[str, like(r"[^\s@!:]+", "it is one word without @ ! :")]
Prefix = Annotated[str, like(r"[^\w\s/:]+", "it is punctuation, such as ! or .")]
Text = Annotated[str, like(r".+", "it is some text")]
Channel = Annotated[str, like(CHANNEL, "a channel is #name")]
Place = Annotated[str, like(rf"({NETWORK})?{CHANNEL}", "it is #channel or network/#channel")]
Spot = Annotated[
    str,
    like(
        rf"private|console|({NETWORK})?{CHANNEL}",
        "it is #channel, network/#channel, private or console",
    ),
]
Argument = Annotated[str, like(r"[A-Za-z][\w-]*=\S+", "it is argument=value, as in env=prod")]
Choice = Annotated[str, like(r"[\w.-]+=\S+", "it is NAME=WHAT, as in small=1x512")]
Ports = Annotated[str, like(r"\d{1,5}-\d{1,5}", "it is FIRST-LAST, as in 2200-2299")]
Who = Annotated[
    str,
    like(
        rf"\*|unix:\S+|({NETWORK})?({MASK}|{ACCOUNT})",
        "it is an account, network/account, unix:NAME, mask:nick!user@host or *",
    ),
]
# a comment behind the hosts would become hosts
Nodes = Annotated[str, like(r"[^#;]+", "it is hosts such as web[1-3] or @web,db1, and no comment")]
Pin = Annotated[str, like(r"SHA256:[A-Za-z0-9+/]{43}", "it is SHA256:… as ssh-keygen -l prints it")]
Base = Annotated[
    str,
    like(r"https?://[^\s/?#]+(/[^\s?#]*)?", "it is https://HOST/, with a path or without"),
]
Importable = Annotated[str, like(r"[\w.]+:\w+", "it is module:group")]
Cron = Annotated[str, cron]
Zone = Annotated[str, zone]
