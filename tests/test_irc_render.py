"""What a command prints, as the channel gets it."""

from __future__ import annotations

import re

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.irc.render import JOINER, lines, plain, unpinged

rooms = st.integers(16, 120)
# what commands print, and what breaks a renderer
codes = "\x1b[31m|\x1b[1m|\x1b[42;97m|\x1b[3;4;7m|\x1b[0m|\x1b[39m|\x1b[38;5;9m|\x1b[38;2;1;2;3m"
broken = "\x1b[|\x1b]0;title\x07|\x1b|\x9b|\x03|\x0304|\t|\r|\n|\0|\x01|\x07|\x7f|\x85|\udce9"
words = " |  |,|12|!|?|·|word|ßßßßßßßßß|e\u0301|👩\u200d👩\u200d👧|👍🏽|🇩🇪|\u0301|\u200d|\ufe0f"
pieces = st.sampled_from(f"{codes}|{broken}|{words}".split("|"))
texts = st.lists(pieces | st.text(max_size=8), max_size=60).map("".join)
prose = st.lists(st.text("abcé€😀,;:-0123456789", min_size=1, max_size=9), min_size=1).map(" ".join)

families = (
    "x|é|e\u0301\u0323|👩\u200d👩\u200d👧|👍🏽|🇩🇪|❤\ufe0f|🏴\U000e0067\U000e0062\U000e007f".split(
        "|"
    )
)


def unguarded(message: str) -> str:
    return plain(message).removeprefix("· ")


@given(texts, rooms, st.booleans())
def test_every_message_can_be_sent(text: str, room: int, colour: bool) -> None:
    messages = lines(text, room, colour)
    assert messages
    for message in messages:
        assert 0 < len(message.encode()) <= room
        assert not set(message) & set("\r\n\0\x01\t\x07\x1b\x7f\x85")
        assert plain(message).lstrip()[:1] not in {*"!.@?~,"}


@given(texts, rooms)
def test_without_colour_no_formatting_is_left(text: str, room: int) -> None:
    for message in lines(text, room, colour=False):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", message)


@given(texts, rooms)
def test_no_character_is_lost_or_taken_for_a_code(text: str, room: int) -> None:
    def characters(messages: list[str]) -> str:
        return re.sub("[ ·]", "", plain("".join(messages)))

    assert characters(lines(text, room)) == characters(lines(text, 100_000, colour=False))


@given(prose, st.integers(80, 200))
def test_words_that_fit_are_never_split(text: str, room: int) -> None:
    assert " ".join(map(unguarded, lines(text, room))).split() == text.split()


@given(st.lists(st.sampled_from(families), min_size=1), st.integers(50, 90))
def test_what_the_eye_takes_for_one_character_is_never_split(text: list[str], room: int) -> None:
    rest = list(text)
    for message in lines("".join(text), room):
        while message:
            character = rest.pop(0)
            assert message.startswith(character)
            message = message.removeprefix(character)
    assert rest == []


def test_flags_side_by_side_are_many() -> None:
    assert lines("🇩🇪" * 8, 32) == ["🇩🇪" * 4, "🇩🇪" * 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (click.style("down", fg="red"), "\x0304down"),
        (click.style("ok", fg="green") + " web1", "\x0303ok\x0f web1"),
        (click.style("a", fg="bright_white", bg="blue"), "\x0300,12a"),
        (click.style("a", bg="yellow"), "\x0399,07a"),
        (click.style("a", bold=True, underline=True), "\x02\x1fa"),
        (click.style("a", italic=True, reverse=True), "\x1d\x16a"),
        (
            click.style("a", fg="red", bold=True) + click.style("b", bold=True),
            "\x0304\x02a\x0f\x02b",
        ),
        ("\x1b[01;31mmatch\x1b[m\x1b[K.", "\x0304\x02match\x0f."),
        ("\x1b[1mbold\x1b[22m not", "\x02bold\x0f not"),
        (
            "\x1b[31;44mred on blue\x1b[39mdefault\x1b[49m.",
            "\x0304,12red on blue\x0f\x0399,12default\x0f.",
        ),
        ("\x1b[38;5;10mgreen", "\x0309green"),
        ("\x1b[38;5;208;1morange, but bold", "\x02orange, but bold"),
        ("\x1b[38;2;255;0;0;48;5;1mpaper", "\x0399,04paper"),
    ],
)
def test_ansi_becomes_irc(text: str, message: str) -> None:
    assert lines(text, 400) == [message]


def test_digits_and_commas_of_the_text_are_not_read_as_colours() -> None:
    assert lines(click.style("5 up", fg="red"), 400) == ["\x03045 up"]
    assert lines("a" + click.style(",5 up", fg="red"), 400) == ["a\x0304\x02\x02,5 up"]
    assert lines("a" + click.style(",5 up", fg="red", bold=True), 400) == ["a\x0304\x02,5 up"]
    assert lines("a" + click.style(",5 up", fg="red", bg="black"), 400) == ["a\x0304,01,5 up"]


def test_formatting_goes_on_over_a_split() -> None:
    text = click.style("all of this is red and bold", fg="red", bold=True) + " this is not"
    assert lines(text, 32) == ["\x0304\x02all of this is red and bold", "this is not"]
    assert lines(click.style("x" * 60, bold=True), 32) == ["\x02" + "x" * 31, "\x02" + "x" * 29]


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]0;title\x07a b",
        "\x1b]8;;https://x\x1b\\a b\x1b]8;;\x1b\\",
        "\x1b[2K\x1b[?25la b",
        "\x1b(Ba b",
        "a\x07 \x01b\x7f",
        "a\nb",
        "a\rb",
        "a\x0bb\0",
        "\x1b[4:3ma b",
        "\x0304,12a\x0f \x02b",
        "a b   ",
        "a b\x1b[",
    ],
)
def test_what_only_a_terminal_understands_goes(text: str) -> None:
    assert lines(text, 400) == ["a b"]


def test_tabs_keep_their_columns() -> None:
    assert lines("a\tb\t\x1b[1mseven77\x1b[0m\tc", 400, colour=False) == [
        "a       b       seven77 c",
    ]


def test_bytes_that_were_no_text_are_shown_as_such() -> None:
    assert lines(b"caf\xe9".decode("utf-8", "surrogateescape"), 400) == ["caf\ufffd"]


@pytest.mark.parametrize("text", ["", "   ", "\t", "\x1b[0m", "\r\n", "\x1b[31m\x1b[0m"])
def test_nothing_is_a_space_for_a_server_refuses_an_empty_message(text: str) -> None:
    assert lines(text, 400) == [" "]


@pytest.mark.parametrize(
    "text", ["!op eve", " !op eve", "\x1b[1m!op eve", "\x02!op eve", "\u00a0!op", ".q", "@x"]
)
def test_a_reply_is_no_command_to_services_and_other_bots(text: str) -> None:
    # Atheme and Anope skip spaces before the trigger, and Anope formatting codes: see GUARD
    assert lines(text, 400)[0].startswith("· ")


def test_a_continued_line_is_no_command_either() -> None:
    assert lines("x" * 20 + " !op eve", 22) == ["x" * 20, "· !op eve"]


def test_paths_and_numbers_stay_as_they_are() -> None:
    for text in ("/dev/sda1  83%", "-rw-r--r-- 1", "+5", "  indented", "#ops", "[ok]"):
        assert lines(text, 400) == [text]


def test_a_character_of_too_many_accents_is_cut_rather_than_sent_too_long() -> None:
    messages = lines("!" + "\u0301" * 1000, 16)
    assert max(len(message.encode()) for message in messages) <= 16
    assert "".join(messages).count("\u0301") == 1000


def test_a_room_too_small_is_taken_for_sixteen_bytes() -> None:
    assert lines("x" * 20, 0) == ["x" * 16, "x" * 4]


def test_a_long_line_takes_time_in_proportion() -> None:
    assert len(lines(" " * 200_000 + "x " * 200_000 + "\x1b]" * 50_000, 400)) > 1000


def test_plain_removes_both_kinds_of_formatting_and_nothing_else() -> None:
    text = "\x0304,12!load\x0f \x02@web\x02\t" + click.style("x", fg="red") + "\x03"
    assert plain(text) == "!load @web\tx"


@pytest.mark.parametrize(
    "text",
    [
        "bob",
        "bob: hm",
        "on call: bob.",
        "(bob)",
        "<bob> hi",
        "@bob",
        "\x1b[31mbob\x1b[0m",
        "a,bob, c",
    ],
)
def test_a_nick_that_is_not_to_light_up_is_interrupted(text: str) -> None:
    changed = unpinged(text, {"bob"}.__contains__)
    assert "bob" not in changed
    assert changed.replace(JOINER, "") == text
    assert unpinged(changed, {"bob"}.__contains__) == changed


@pytest.mark.parametrize(
    "text",
    [
        "/home/bob",
        "bob.example.org",
        "bob@host",
        "bob-laptop",
        "bobby",
        "bob/x",
        "BATCH=bob",
        "~bob",
    ],
)
def test_paths_hosts_and_other_words_can_be_copied(text: str) -> None:
    assert unpinged(text, {"bob"}.__contains__) == text


def test_each_of_several_nicks_in_a_row_is_interrupted() -> None:
    assert unpinged("al bob al", lambda nick: True) == f"a{JOINER}l b{JOINER}ob a{JOINER}l"
