"""Text to IRC lines: colours, and wrapping at the bytes the server leaves us.

Commands speak to a terminal: ANSI colours, tabs, lines of any length. IRC has formatting codes of
its own (modern.ircdocs.horse/formatting), no control characters, and of its 512 bytes a few hundred
for the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ROOM_LEAST = 16  # bytes; a server that leaves less is not to be talked to
ROOM_FOR_CODES = 32  # bytes; in less, formatting would crowd out the text

# What other bots and services take for a command. "/" is not among them: every client keeps such a
# line to itself, so no bot listens for it, and paths begin with it.
TRIGGERS = frozenset("!.@?~,")
# Neither a space nor a formatting code disarms one: Atheme and Anope skip spaces, Anope skips codes
# as well. An invisible character would, and then be copied along.
GUARD = "· "

DEFAULT = 99  # the colour the reader's client has by default

# ANSI's eight as IRC numbers, then its bright ones. The eight are those that can be read on black
# and on white: IRC's own dark red (5) and dark blue (2) cannot.
COLOURS = (1, 4, 3, 7, 12, 6, 10, 15, 14, 4, 9, 8, 12, 13, 11, 0)


class Style(NamedTuple):
    """How a character looks."""

    ink: int = DEFAULT
    paper: int = DEFAULT
    bold: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False


PLAIN = Style()

_SGR: dict[str, dict[str, Any]] = {
    "1": {"bold": True},
    "3": {"italic": True},
    "4": {"underline": True},
    "7": {"reverse": True},
    "22": {"bold": False},
    "23": {"italic": False},
    "24": {"underline": False},
    "27": {"reverse": False},
    "39": {"ink": DEFAULT},
    "49": {"paper": DEFAULT},
}
for _index, _colour in enumerate(COLOURS):
    _first = 30 if _index < 8 else 90 - 8
    _SGR[str(_first + _index)] = {"ink": _colour}
    _SGR[str(_first + _index + 10)] = {"paper": _colour}

_CODE = re.compile(
    r"""(?:\x1b\[|\x9b) (?: (?P<sgr>[0-9;]*) m        # ECMA-48 SGR
                          | [0-?]* [ -/]* [@-~]? )    # and its other control sequences
      | \x1b[]PX^_] [^\x07\x1b]* (?:\x07|\x1b\\)      # a string: window title, target of a link
      | \x1b [ -/]* [0-~]?                            # any other escape sequence
      | \x03 (?: [0-9]{1,2} (?:,[0-9]{1,2})? )?       # IRC colours
      | \x04 (?: [0-9A-Fa-f]{6} (?:,[0-9A-Fa-f]{6})? )?
      | [\x02\x0f\x11\x16\x1d-\x1f]                   # IRC bold, reset, reverse, italic …
    """,
    re.VERBOSE,
)
_UNSAYABLE: dict[int, str | None] = {
    **{code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\t")},
    **dict.fromkeys(map(ord, "\n\v\f\r\x85\u2028\u2029"), " "),  # else words would run together
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # bytes that were not UTF-8
}


# Within a nick it keeps clients from taking the nick for a call to its owner. It is invisible and no line breaks at
# it; U+200B, which others use, is taken out by some clients, and a format code is by most before they look.
JOINER = "\u2060"
_NICK = (
    re.compile(  # as a word by itself: not in a path, a host name or an address, which people copy
        r"""(^|[\s(\[<{"'`@+,]|\x1b\[[0-9;]*m)
        ([A-Za-z\[\]\\`_^{|}][-\w\[\]\\`^{|}]+)
        (?=$|[\s)\]>}"'`,\x1b]|[.:;!?](?:\s|$))""",
        re.VERBOSE,
    )
)


def unpinged(text: str, is_nick: Callable[[str], bool]) -> str:
    """Give `text` with an invisible character in each word that `is_nick`, so that it highlights nobody's client."""
    return _NICK.sub(
        lambda found: (
            found[1] + found[2][0] + JOINER + found[2][1:] if is_nick(found[2]) else found[0]
        ),
        text,
    )


def plain(text: str) -> str:
    """Give `text` without ANSI escape sequences and IRC formatting codes."""
    return _CODE.sub("", text)


def lines(text: str, room: int, colour: bool = True) -> list[str]:
    """Turn one line of `text` into messages of at most `room` bytes of UTF-8, 16 at the least.

    ANSI's SGR becomes IRC formatting (nothing, without `colour`) and goes on over a split; tabs are
    set at every eighth column; all other control characters go. Split is at spaces in the second
    half of the room, which are dropped, or else between characters as people see them. No message
    is empty (a server refuses it, 412) or begins with what another bot takes for a command.
    """
    room = max(room, ROOM_LEAST)
    if len(text) <= room and text.isascii() and text.isprintable():  # as nearly all is
        text = text.rstrip(" ")
        if text and text.lstrip(" ")[0] not in TRIGGERS:
            return [text]
    characters = _characters(text, room // 2, colour and room >= ROOM_FOR_CODES)
    while characters and characters[-1] == (" ", PLAIN):
        characters.pop()
    messages = []
    start = 0
    while start < len(characters):
        message, start = _message(characters, start, room)
        messages.append(message)
    return messages or [" "]


def _message(characters: list[tuple[str, Style]], start: int, room: int) -> tuple[str, int]:
    """Give the message of what fits from `start` on, and where the next one starts."""
    places = range(start, len(characters))
    first = next((characters[at][0] for at in places if not characters[at][0].isspace()), "")
    pieces = [GUARD if first[:1] in TRIGGERS else ""]
    size = len(pieces[0].encode())
    style = PLAIN
    gap = None
    for end in places:
        character, wanted = characters[end]
        pieces.append(_codes(style, wanted, character) + character)
        size += len(pieces[-1].encode())
        if size > room:
            if character != " " and gap is not None:
                end = gap
            break
        if character == " " and size > room // 2:
            gap = end
        style = wanted
    else:
        end = len(characters)
    message = "".join(pieces[: 1 + end - start])
    while end < len(characters) and characters[end][0] == " ":
        end += 1
    return message, end


def _codes(style: Style, wanted: Style, character: str) -> str:
    """Give the IRC formatting that leads from one style to another, in front of `character`."""
    if style == wanted:
        return ""
    codes = "" if style == PLAIN else "\x0f"
    if wanted[:2] != (DEFAULT, DEFAULT):
        codes += f"\x03{wanted.ink:02}"  # always two digits: a third is the text's
        if wanted.paper != DEFAULT:
            codes += f",{wanted.paper:02}"
        elif character == "," and not any(wanted[2:]):
            codes += "\x02\x02"  # bold on and off, else the comma would announce a background
    toggles = zip(wanted[2:], "\x02\x1d\x1f\x16", strict=True)
    return codes + "".join(code for is_on, code in toggles if is_on)


def _characters(text: str, most: int, colour: bool) -> list[tuple[str, Style]]:
    """Give the characters as people see them, but of at most `most` bytes, each with its style."""
    found: list[tuple[str, Style]] = []
    for run, style in _runs(text):
        shown = style if colour else PLAIN
        for character in run:
            if character == "\t":
                found += [(" ", shown)] * (8 - len(found) % 8)
                continue
            if character >= "\u0300" and found and _belongs(character, found[-1][0]):
                before, its_style = found[-1]
                if len((before + character).encode()) <= most:
                    found[-1] = before + character, its_style
                    continue
            found.append((character, shown))
    return found


def _belongs(character: str, before: str) -> bool:
    """Tell whether the two are one character to the eye: the usual cases of Unicode's UAX #29."""
    return (
        before[-1] == "\u200d"  # zero-width joiner
        or character == "\u200d"
        or unicodedata.category(character) in ("Mn", "Mc", "Me")  # accents, variation selectors
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags: the flag of Wales
        or (_is_flag_half(character) and len(before) == 1 and _is_flag_half(before))
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _runs(text: str) -> Iterator[tuple[str, Style]]:
    """Give the stretches of text between codes, free of what must not be sent, and their style."""
    style = PLAIN
    start = 0
    for code in _CODE.finditer(text):
        yield text[start : code.start()].translate(_UNSAYABLE), style
        start = code.end()
        if code["sgr"] is not None:
            style = _styled(style, code["sgr"])
    yield text[start:].translate(_UNSAYABLE), style


def _styled(style: Style, parameters: str) -> Style:
    """Apply SGR `parameters`, such as "1;31"."""
    codes = (code.lstrip("0") for code in parameters.split(";"))
    for code in codes:
        if not code:
            style = PLAIN
        elif code not in ("38", "48"):
            style = style._replace(**_SGR.get(code, {}))
        else:
            colour = _extended(codes)
            style = style._replace(ink=colour) if code == "38" else style._replace(paper=colour)
    return style


def _extended(codes: Iterator[str]) -> int:
    """Take what follows 38 or 48: `5;N`, sixteen of which IRC has, or `2;R;G;B`, dropped."""
    if next(codes, "") == "2":
        for _ in "rgb":
            next(codes, "")
        return DEFAULT
    index = next(codes, "") or "0"
    return COLOURS[int(index)] if len(index) < 3 and int(index) < len(COLOURS) else DEFAULT
