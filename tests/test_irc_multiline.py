"""Messages of many lines: what the server allows, and how ours fit into it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.irc.multiline import SIZE, TEXTS, Incoming, Limits, batch, offered, portions
from ircops.irc.protocol import Line, parse


def line(text: str) -> Line:
    found = parse(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("CAP * LS :batch draft/multiline=max-bytes=4096,max-lines=24 sasl", Limits(24, 4096)),
        ("CAP * LS * :draft/multiline=max-bytes=4096", Limits(100, 4096)),
        ("CAP me NEW :draft/multiline=max-lines=5,max-bytes=100,x", Limits(5, 100)),
        ("CAP * LS :draft/multiline", None),
        ("CAP * LS :draft/multiline=max-bytes=many", None),
        ("CAP * LS :batch", None),
        ("CAP * LS", None),
        ("CAP * ACK :draft/multiline=max-bytes=1", None),
    ],
)
def test_the_limits_are_what_the_server_says(text: str, limits: Limits | None) -> None:
    assert offered(line(text)) == limits


@given(
    st.lists(st.text("aé€", max_size=300), max_size=60), st.integers(1, 30), st.integers(1, 5000)
)
def test_portions_hold_all_in_order_and_keep_the_limits(
    texts: list[str], lines: int, size: int
) -> None:
    found = list(portions(texts, Limits(lines, size), overhead=40))
    assert [text for portion in found for text in portion] == texts
    for portion in found:
        assert 1 <= len(portion) <= lines
        if len(portion) > 1:
            assert len("\n".join(portion).encode()) <= size
            assert sum(40 + len(text.encode()) for text in portion) <= SIZE


def test_each_batch_has_a_name_of_its_own() -> None:
    first, second = (batch("PRIVMSG", "#ops", ["a b", "c"]) for _ in range(2))
    assert first[1] != second[1]
    assert [line.partition(b" ")[2] for line in first[1:3]] == [
        b"PRIVMSG #ops :a b",
        b"PRIVMSG #ops c",
    ]


def test_what_comes_in_is_bounded() -> None:
    incoming = Incoming()
    for number in range(1000):
        incoming.feed(line(f":a!b@c BATCH +{number} draft/multiline #ops"))
        incoming.feed(line("@batch=1 :a!b@c PRIVMSG #ops :x"))
    assert len(incoming.feed(line(":a!b@c BATCH -1"))) == TEXTS
    assert incoming.feed(line(":a!b@c BATCH -999")) == [line(":a!b@c BATCH -999")]
    incoming.clear()
    assert incoming.feed(line("@batch=2 :a!b@c PRIVMSG #ops :x")) != []
