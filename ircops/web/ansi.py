"""What a terminal would show, as HTML: colours become classes, everything else of an escape sequence goes.

Nothing of the text gets into a tag, only into what is between them, escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_CODE = re.compile(
    r"""(?:\x1b\[|\x9b) (?: (?P<sgr>[0-9;:]*) m      # ECMA-48 SGR
                          | [0-?]* [ -/]* [@-~]? )   # and its other control sequences
      | \x1b[]PX^_] [^\x07\x1b]* (?:\x07|\x1b\\)?    # a string: window title, target of a link
      | \x1b [ -/]* [0-~]?                           # any other escape sequence
      | [\x00-\x08\x0b-\x1f\x7f-\x9f]                # any other control character but tab and line feed
    """,
    re.VERBOSE,
)
_ON = {1: "bold", 2: "dim", 3: "italic", 4: "line", 7: "reverse", 9: "struck"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("line",), 27: ("reverse",), 29: ("struck",)}


class Painter:
    """Paints one output, part by part; a colour lasts until it is changed."""

    def __init__(self) -> None:
        self._style: dict[str, str] = {}  # what it is about -> its class

    def paint(self, text: str) -> Markup:
        """The next part, which no escape sequence goes beyond."""
        return Markup("".join(map(self._marked, self._pieces(text))))

    def _pieces(self, text: str) -> Iterator[str]:
        """The text between the codes; each code has been taken when the next comes."""
        at = 0
        for code in _CODE.finditer(text):
            yield text[at : code.start()]
            if code["sgr"] is not None:
                self._take(code["sgr"])
            at = code.end()
        yield text[at:]

    def _marked(self, text: str) -> str:
        safe = str(escape(text))
        if not text or not self._style:
            return safe
        return f'<span class="{" ".join(self._style.values())}">{safe}</span>'

    def _take(self, sgr: str) -> None:
        numbers = iter([int(word or 0) for word in re.split("[;:]", sgr)][:32])
        for number in numbers:
            if number == 0:
                self._style.clear()
            elif number in _ON:
                self._style[_ON[number]] = _ON[number]
            elif number in _OFF:
                for about in _OFF[number]:
                    self._style.pop(about, None)
            elif number in (38, 48):
                self._mixed("ink" if number == 38 else "paper", numbers)
            elif number in (39, 49):
                self._style.pop("ink" if number == 39 else "paper", None)
            else:
                self._plain(number)

    def _plain(self, number: int) -> None:
        for about, first in (("ink", 30), ("paper", 40)):
            if first <= number < first + 8:
                self._style[about] = f"{about}{number - first}"
            elif first + 60 <= number < first + 68:
                self._style[about] = f"{about}{number - first - 60 + 8}"

    def _mixed(self, about: str, numbers: Iterator[int]) -> None:
        """`38;5;N` is one of 256, of which we have the first sixteen; `38;2;R;G;B` is any."""
        kind = next(numbers, 0)
        if kind == 5 and (index := next(numbers, 0)) < 16:
            self._style[about] = f"{about}{index}"
        elif kind == 2:
            for _ in range(3):
                next(numbers, 0)


def plain(text: str) -> str:
    """The text without any of it."""
    return _CODE.sub("", text)
