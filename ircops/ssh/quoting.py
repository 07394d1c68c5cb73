"""Words as one line that every login shell takes for those words, csh and fish as well."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# Within single quotes csh takes no newline and looks for `!` in its history; to fish a backslash is special there
# before a second one and before the quote.
_SPECIAL = re.compile(r"[\n!]|\\(?:[\\']|\Z)")
_OCTAL = re.compile(r"[\n!\\]")

UNPACK = 'for word do word=$(printf %b. "$word"); shift; set -- "$@" "${word%.}"; done; exec "$@"'


def quoted(words: Sequence[str]) -> str:
    """The line; what some shell would not take as it stands is put together there, at the cost of a fork a word."""
    if not any(map(_SPECIAL.search, words)):
        return shlex.join(words)
    octal = [_OCTAL.sub(lambda found: f"\\0{ord(found[0]):03o}", word) for word in words]
    return shlex.join(["sh", "-c", UNPACK, "sh", *octal])
