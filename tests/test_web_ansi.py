"""Terminal output as HTML: colours stay, and nothing of the text becomes HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from ircops.web.ansi import Painter, plain


def painted(*lines: str) -> list[str]:
    painter = Painter()
    return [str(painter.paint(line)) for line in lines]


def test_colours_become_classes() -> None:
    assert painted("\x1b[31;1merror\x1b[0m: web3") == ['<span class="ink1 bold">error</span>: web3']
    assert painted("\x1b[92;44mgo\x1b[39m on") == [
        '<span class="ink10 paper4">go</span><span class="paper4"> on</span>'
    ]
    assert painted("\x1b[38;5;9ma\x1b[38;5;200;4mb\x1b[38;2;1;31;5;7mc") == [
        '<span class="ink9">a</span><span class="ink9 line">b</span><span class="ink9 line reverse">c</span>'
    ]


def test_a_colour_lasts_over_lines_until_it_is_taken_back() -> None:
    assert painted("\x1b[32mone\n", "two\x1b[m\n", "three") == [
        '<span class="ink2">one\n</span>',
        '<span class="ink2">two</span>\n',
        "three",
    ]


def test_what_else_a_terminal_obeys_is_left_out() -> None:
    text = "\x1b]0;title\x07a\x1b[2J\x1b[?25lb\x1b]8;;http://x\x1b\\c\x00\x08\x7f\x1b(B\x1b[999;1Hd\x9b1m"
    assert painted(text) == ["abcd"]
    assert plain(f"\x1b[31m{text}\tend\n") == "abcd\tend\n"


def test_markup_is_text() -> None:
    assert painted('<b onclick="x">\x1b[1m&\'</b>') == [
        '&lt;b onclick=&#34;x&#34;&gt;<span class="bold">&amp;&#39;&lt;/b&gt;</span>'
    ]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(
    st.lists(st.sampled_from(["\x1b[", "31", "m", ";", "<", ">", "&", "\"'", "\x1b]", "a", "=1 "]))
)
def test_no_text_gets_out_of_its_place(words: list[str]) -> None:
    reader = Reader()
    reader.feed(painted("".join(words))[0])
    reader.close()
    for tag, attributes in reader.tags:  # type: ignore[misc]
        assert tag == "span" and re.fullmatch(r"[a-z0-9 ]+", attributes[0][1])
        assert len(attributes) == 1
    assert reader.text == plain("".join(words))
