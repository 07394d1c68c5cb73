"""IRC lines: cut from bytes, parsed, built; and what a server says of itself (ISUPPORT). No state of a network.

Nothing here raises for what a server sends, whatever the bytes; only `build` does, for what we would say.
"""

from __future__ import annotations

import re
import string
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

LINE_LIMIT = 8191 + 512  # bytes of the tags and of the rest (IRCv3 message-tags)
NO_TAGS: Mapping[str, str] = {}
FOLDED = 4096  # names whose folding is kept: each line asks for the same few again and again

_COMMAND = re.compile(r"[A-Za-z]+|[0-9]{3}")
_COMMON = frozenset({"PRIVMSG", "NOTICE", "TAGMSG", "JOIN", "QUIT"})  # most lines by far
_UNSENDABLE = re.compile(r"[\r\n\0]")
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPES = {":": ";", "s": " ", "r": "\r", "n": "\n"}
_TO_ESCAPE = str.maketrans({";": r"\:", " ": r"\s", "\r": r"\r", "\n": r"\n", "\\": r"\\"})


class Line(NamedTuple):
    """One line of a server."""

    command: str  # upper case, or three digits
    params: tuple[str, ...] = ()
    source: str = ""  # nick!user@host, or a server's name
    tags: Mapping[str, str] = NO_TAGS

    def param(self, number: int) -> str:
        """The parameter at `number`, from 0; "" if there are fewer."""
        return self.params[number] if number < len(self.params) else ""

    @property
    def nick(self) -> str:
        return self.source.partition("@")[0].partition("!")[0]

    @property
    def at(self) -> datetime | None:
        """When the server got it, aware; None if it does not say, or nothing we can read (IRCv3 server-time)."""
        try:
            at = datetime.fromisoformat(self.tags.get("time", ""))
        except ValueError:
            return None
        return at if at.tzinfo is UTC else at.replace(tzinfo=UTC)  # the specification has no other


def split_mask(mask: str) -> tuple[str, str, str]:
    """Give nick, user and host of `nick!user@host`; "" for what is not there (RFC 2812 §2.3.1)."""
    rest, _, host = mask.partition("@")
    nick, _, user = rest.partition("!")
    return nick, user, host


def parse(raw: bytes | str) -> Line | None:
    """Read one line, with or without its CRLF; None if it holds no command.

    UTF-8, else Windows-1252; a character that a server cut in two at the end of the line goes. Only the
    space separates (RFC 2812 §2.3.1); of a tag given twice the last counts (IRCv3 message-tags).
    """
    data = raw.encode(errors="replace") if isinstance(raw, str) else raw
    data = data.translate(None, b"\r\n\0")  # none of them can be part of a line
    tags: Mapping[str, str] = NO_TAGS
    if data.startswith(b"@"):  # tags are UTF-8 even where the text is not
        head, _, data = data.partition(b" ")
        tags = _tags(head[1:].decode(errors="replace"))
    text = _decode(data).lstrip(" ")
    source = ""
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
    text, colon, last = (" " + text).partition(" :")
    words = [word for word in text.split(" ") if word]
    if not words:
        return None
    command, *params = words
    if command not in _COMMON:
        if not _COMMAND.fullmatch(command):
            return None
        command = command.upper()
    if colon:
        params.append(last)
    return Line(command, tuple(params), source, tags)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        whole = data[: error.start]
        if error.reason == "unexpected end of data" and not whole.isascii():
            return whole.decode()
        return data.decode("cp1252", errors="replace")


def _tags(text: str) -> dict[str, str]:
    tags = {}
    for tag in text.split(";"):
        key, _, value = tag.partition("=")
        if "\\" in value:
            value = _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), value)
        if key:
            tags[key] = value
    return tags


def build(command: str, *params: str, tags: Mapping[str, str] = NO_TAGS) -> bytes:
    """Make a line, without its CRLF; the last parameter may hold spaces.

    Raises ValueError for anything that the server would read as something else: CR, LF or NUL anywhere, and
    an empty parameter, a space or a leading colon where it is not the last.
    """
    if command not in _COMMON and not _COMMAND.fullmatch(command):
        raise ValueError(f"no IRC command: {command!r}")
    for middle in params[:-1]:
        if not middle or " " in middle or middle.startswith(":"):
            raise ValueError(f"{command} cannot take {middle!r} before its last parameter")
    words = [command, *params]
    if params and (not params[-1] or " " in params[-1] or params[-1].startswith(":")):
        words[-1] = ":" + params[-1]
    if tags:
        words.insert(0, "@" + ";".join(_tag(key, value) for key, value in tags.items()))
    text = " ".join(words)
    if _UNSENDABLE.search(text):
        raise ValueError(f"{command} cannot take CR, LF or NUL")
    return text.encode(errors="replace")  # a lone surrogate leaves as a question mark


def _tag(key: str, value: str) -> str:
    if not re.fullmatch(r"\+?[\w./-]+", key, re.ASCII):
        raise ValueError(f"no message tag: {key!r}")
    return f"{key}={value.translate(_TO_ESCAPE)}" if value else key


class LineBuffer:
    """Bytes in, lines out; a line over the limit is dropped whole, however long it is and however it comes.

    It has the shape of the library's buffers: `feed`, then iterate.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self.limit = limit
        self.dropped = 0  # lines
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._is_dropping = False

    def feed(self, data: bytes) -> None:
        """Take what came from the socket."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            if not self._is_dropping:
                self._lines.append(bytes(self._rest))
            self._rest.clear()
            self._is_dropping = False
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        if self._is_dropping:
            return
        self._rest += piece
        if len(self._rest) > self.limit + 1:  # the CR is not counted
            self._rest.clear()
            self._is_dropping = True
            self.dropped += 1

    def __iter__(self) -> Iterator[bytes]:
        while self._lines:
            yield self._lines.popleft().removesuffix(b"\r")


_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_STRICT = _ASCII | str.maketrans("[]\\", "{}|")
_RFC1459 = _STRICT | str.maketrans("~", "^")
_CASES = {"rfc1459": _RFC1459, "strict-rfc1459": _STRICT, "rfc1459-strict": _STRICT}
_NUMBERS = {
    "USERLEN": 10,
    "HOSTLEN": 63,
    "LINELEN": 512,
    "CHATHISTORY": 0,
}  # RFC 2812 where a server is silent


class Isupport:
    """What the server says of itself in 005, over the defaults of RFC 2812 (modern.ircdocs.horse/#rplisupport-005)."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._read()

    def feed(self, params: Iterable[str]) -> None:
        """Take the parameters of a 005: nick, tokens, a sentence. What makes no sense is left alone."""
        for token in tuple(params)[1:]:
            key, _, value = token.partition("=")
            if key.startswith("-"):
                self._tokens.pop(key[1:], None)
            elif re.fullmatch(r"[A-Z0-9]{1,50}", key):
                value = re.sub(r"\\x([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), value)
                self._tokens[key] = value
        self._read()

    def _read(self) -> None:
        found = self._tokens.get
        # A casemapping we do not know folds least: no two people become one.
        cases = _CASES.get(found("CASEMAPPING", "rfc1459"), _ASCII)
        self._fold: Callable[[str], str] = lru_cache(FOLDED)(lambda name: name.translate(cases))
        self.chantypes = found("CHANTYPES", "#&")
        prefix = re.fullmatch(r"\(([A-Za-z]*)\)([^A-Za-z ]*)", found("PREFIX", ""))
        matched = prefix is not None and len(prefix[1]) == len(prefix[2])
        self.prefix_modes, self.prefixes = prefix.groups() if prefix and matched else ("ov", "@+")
        self.statusmsg = found("STATUSMSG", "")
        lists, always, when_set, *_ = (
            *found("CHANMODES", "beI,k,l").split(","),
            "",
            "",
            "",
        )
        self.with_parameter = {"+": lists + always + when_set, "-": lists + always}
        self.userlen, self.hostlen, self.linelen, limit = map(self._number, _NUMBERS)
        self.chathistory = limit  # lines of history at once; 0 = as many as one likes
        self.linelen = max(self.linelen, _NUMBERS["LINELEN"])
        self.whox = "WHOX" in self._tokens
        self.monitor = "MONITOR" in self._tokens
        self.denied_tags = frozenset(found("CLIENTTAGDENY", "").split(","))  # IRCv3 message-tags
        self.bot = found("BOT", "")[:1]  # the user mode that marks us as one (IRCv3 bot-mode)

    def _number(self, key: str) -> int:
        value = self._tokens.get(key, "")
        return int(value) if re.fullmatch(r"[1-9][0-9]{0,3}", value) else _NUMBERS[key]

    def fold(self, name: str) -> str:
        """`name` as the server compares it: equal names fold to equal strings."""
        return self._fold(name)

    def is_channel(self, name: str) -> bool:
        return name[:1] in self.chantypes if name else False

    def modes(self, params: Iterable[str]) -> list[tuple[str, str, str]]:
        """Read a mode string and its parameters: (`+` or `-`, letter, parameter or "") for each.

        Which letters take one is the server's to say: PREFIX always, CHANMODES by their kind.
        """
        text, *rest = [*params] or [""]
        given = iter(rest)
        found, sign = [], "+"
        for letter in text:
            if letter in "+-":
                sign = letter
            elif letter in self.prefix_modes + self.with_parameter[sign]:
                found.append((sign, letter, next(given, "")))
            else:
                found.append((sign, letter, ""))
        return found
