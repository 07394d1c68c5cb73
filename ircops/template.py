"""A shell line of the ini with places for arguments: where one may stand, and how it is filled in.

An argument is filled in quoted, so it must not stand where a shell takes quotes for something else: within other
quotes, in what a shell looks through twice, in a comment, after a backslash.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

PLACEHOLDER = re.compile(
    r"(?<!\$)\{([a-z][a-z0-9_]*)\}"
)  # {path}, but not ${PATH} nor awk's {print $1}
OPENS = ("$((", "((", "$(", "${", "$[", "(")  # the longer first
CLOSES = {"$((": "))", "((": "))", "$(": ")", "${": "}", "$[": "]", "(": ")", '"': '"'}
TWICE = ("$((", "((", "$[", "${")
COMMENT = "# "  # to the end of the line
NO_OPTIONS = re.compile(r"(?:^|\s)--\s")


def names(template: str) -> list[str]:
    """The arguments it asks for, each once."""
    return list(dict.fromkeys(PLACEHOLDER.findall(template)))


def filled(template: str, arguments: Mapping[str, str]) -> str:
    """The line with each argument in its place, quoted."""
    return PLACEHOLDER.sub(lambda match: shlex.quote(arguments[match[1]]), template)


def may_be_option(template: str, name: str) -> bool:
    """A program might take the argument for an option: it is a word of its own, and no `--` is before it."""
    for match in PLACEHOLDER.finditer(template):
        before = template[: match.start()]
        if match[1] == name and before[-1:] in (" ", "\t", "") and not NO_OPTIONS.search(before):
            return True
    return False


def fault(template: str) -> str:
    """What is wrong with the place of one of its arguments, and what to write; "" = nothing."""
    if "$'" in template and names(template):
        return "write '…' for $'…', which shells read differently"
    open_: list[str] = []  # what is open, the innermost last
    for index, piece in _pieces(template, open_):
        if found := PLACEHOLDER.match(template, index):
            if wrong := _misplaced(f"{{{found[1]}}}", piece, open_):
                return wrong
        elif piece == COMMENT and (found := PLACEHOLDER.search(template, index)):
            return f"{{{found[1]}}} is in a comment, which a new line in it would end; take it out"
    return ""


def _misplaced(name: str, piece: str, open_: list[str]) -> str:
    inner = open_[-1] if open_ else ""
    if piece.startswith("\\"):
        return f"write {name} without the backslash before it; it is quoted when it is filled in"
    if inner in ("'", '"'):
        return f"write {name} without quotes around it; it is quoted when it is filled in"
    if "`" in open_:
        return f"write $(…) for `…` around {name}: no quotes count within those"
    if twice := next((each for each in open_ if each in TWICE), ""):
        return f"{name} may not stand in {twice}…{CLOSES[twice]}: no quotes count within that"
    return ""


def _pieces(template: str, open_: list[str]) -> Iterator[tuple[int, str]]:
    """Each piece with its place, and `open_` kept as it is there (POSIX shell, §2.2, §2.6)."""
    index = 0
    while index < len(template):
        inner = open_[-1] if open_ else ""
        piece = template[index]
        if inner == "'":
            if piece == "'":
                open_.pop()
        elif piece == "\\":
            yield index + 1, "\\"
            index += 2
            continue
        elif inner in CLOSES and template.startswith(CLOSES[inner], index):
            piece = CLOSES[inner]
            open_.pop()
        elif piece == "`":
            if "`" in open_:
                del open_[open_.index("`") :]
            else:
                open_.append(piece)
        elif (piece == "'" and inner != '"') or piece == '"':
            open_.append(piece)
        elif opens := next((o for o in OPENS if template.startswith(o, index)), ""):
            if inner != '"' or opens[0] == "$":
                piece = opens
                open_.append(opens)
        elif piece == "#" and inner != '"' and template[index - 1 : index] in ("", *" \t;&|("):
            yield index, COMMENT
            return
        yield index, piece
        index += len(piece)
