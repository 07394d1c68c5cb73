"""Lines cut from bytes, parsed and built; ISUPPORT."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.irc.protocol import LINE_LIMIT, Isupport, Line, LineBuffer, build, parse

few = settings(max_examples=80, deadline=None)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"PING :a b\r\n", Line("PING", ("a b",))),
        (b"ping x", Line("PING", ("x",))),
        (b":n!u@h QUIT", Line("QUIT", (), "n!u@h")),
        (b":n!u@h PRIVMSG #c :", Line("PRIVMSG", ("#c", ""), "n!u@h")),
        (b":n!u@h PRIVMSG #c ::x :y ", Line("PRIVMSG", ("#c", ":x :y "), "n!u@h")),
        (b":n!u@h  PRIVMSG   #c  hi  ", Line("PRIVMSG", ("#c", "hi"), "n!u@h")),
        (b"PRIVMSG :#c :hi", Line("PRIVMSG", ("#c :hi",))),
        ("PRIVMSG #c a\u3000b\tc\x1dd".encode(), Line("PRIVMSG", ("#c", "a\u3000b\tc\x1dd"))),
        (b"@a=1;a=2;b;c= :s 001 me", Line("001", ("me",), "s", {"a": "2", "b": "", "c": ""})),
        (rb"@a=x\:\s\\\r\n\q\ X", Line("X", (), "", {"a": "x; \\\r\nq"})),
        (b"A\0B \0c\r d", Line("AB", ("c", "d"))),
    ],
)
def test_a_line_is_read(raw, line):
    assert parse(raw) == line


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b":", b":irc.test", b"@a=b", b"@a=b :irc.test", b"@", b": :x", b"12 x", b"\xff"],
)
def test_what_holds_no_command_is_no_line(raw):
    assert parse(raw) is None


def test_latin_1_is_read_as_windows_1252():
    assert parse(b"PRIVMSG #c :caf\xe9 \x80").param(1) == "café €"


def test_a_character_that_the_server_cut_spoils_no_other():
    assert parse("PRIVMSG #c :naïve €".encode()[:-1]).param(1) == "naïve "


def test_tags_are_utf_8_even_where_the_text_is_not():
    line = parse("@account=zoë ".encode() + b"PRIVMSG #c :caf\xe9")
    assert line.tags["account"] == "zoë"
    assert line.param(1) == "café"


@few
@given(
    st.binary(max_size=600)
    | st.from_regex(rb"(@[a-z=;\\ ]*)?(:\S*)?[ ]?[A-Z0-9: ]*", fullmatch=True)
)
def test_no_bytes_raise(raw):
    line = parse(raw)
    assert line is None or re.fullmatch("[A-Z]+|[0-9]{3}", line.command)


sendable = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]))
middle = sendable.filter(lambda text: text and " " not in text and not text.startswith(":"))


@few
@given(
    st.lists(middle, max_size=5),
    sendable,
    st.dictionaries(
        st.from_regex(r"\+?[a-z/.-]+", fullmatch=True), st.text(max_size=9), max_size=3
    ),
)
def test_what_is_built_is_read_back(middles, last, tags):
    tags = {key: re.sub("[\0\ud800-\udfff]", "", value) for key, value in tags.items()}
    line = build("NOTICE", *middles, last, tags=tags)
    assert parse(line) == Line("NOTICE", (*middles, last), "", tags)


@pytest.mark.parametrize("bad", ["a\rQUIT", "a\nQUIT", "a\0"])
def test_cr_lf_and_nul_are_refused_everywhere(bad):
    for params in [(bad,), ("x", bad), (bad, "x")]:
        with pytest.raises(ValueError):
            build("PRIVMSG", *params)
    with pytest.raises(ValueError):
        build(f"PRIVMSG{bad}", "x")
    with pytest.raises(ValueError):
        build("PRIVMSG", "x", tags={bad: "1"})
    if "\0" in bad:
        with pytest.raises(ValueError):
            build("PRIVMSG", "x", tags={"a": bad})


@pytest.mark.parametrize("bad", ["", "two words", ":colon"])
def test_only_the_last_parameter_may_be_empty_hold_spaces_or_begin_with_a_colon(bad):
    with pytest.raises(ValueError):
        build("PRIVMSG", bad, "x")
    assert parse(build("PRIVMSG", "x", bad)).params == ("x", bad)


def test_a_lone_surrogate_leaves_as_a_question_mark():
    assert build("PRIVMSG", "#c", "\udce9") == b"PRIVMSG #c ?"


@few
@given(st.lists(st.binary(max_size=40).filter(lambda line: not {10, 13} & set(line))), st.data())
def test_lines_come_out_the_same_however_the_bytes_come_in(lines, data):
    stream = b"".join(line + b"\r\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    buffer, found = LineBuffer(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer.feed(stream[begin:end])
        found += buffer
    assert found == lines


@few
@given(st.lists(st.integers(0, 30), max_size=10), st.integers(1, 7))
def test_a_line_over_the_limit_is_dropped_whole_and_no_other(sizes, step):
    stream = b"".join(b"x" * size + b"\r\n" for size in sizes)
    buffer = LineBuffer(limit=10)
    for i in range(0, len(stream), step):
        buffer.feed(stream[i : i + step])
    assert [len(line) for line in buffer] == [size for size in sizes if size <= 10]
    assert buffer.dropped == sum(size > 10 for size in sizes)


def test_megabytes_without_a_newline_cost_little():
    buffer = LineBuffer()
    began = time.process_time()
    for _ in range(8000):
        buffer.feed(b"x" * 1024)
    buffer.feed(b"\r\nPING 1\r\n")
    assert list(buffer) == [b"PING 1"]
    assert time.process_time() - began < 1.0
    assert LINE_LIMIT == 8703


def isupport(*tokens):
    found = Isupport()
    found.feed(["me", *tokens, "are supported by this server"])
    return found


def test_without_isupport_rfc_2812_holds():
    found = Isupport()
    assert found.fold("#Ops[\\]~") == "#ops{|}^"
    assert (found.prefix_modes, found.prefixes, found.linelen) == ("ov", "@+", 512)
    assert found.is_channel("#c") and found.is_channel("&c") and not found.is_channel("")


@pytest.mark.parametrize(
    ("mapping", "folded"),
    [("ascii", "a[]\\~"), ("rfc1459", "a{}|^"), ("strict-rfc1459", "a{}|~"), ("rfc8265", "a[]\\~")],
)
def test_names_are_compared_as_the_server_does(mapping, folded):
    assert isupport(f"CASEMAPPING={mapping}").fold("A[]\\~") == folded


def test_only_ascii_letters_fold():
    assert Isupport().fold("\u212aß") != Isupport().fold("kss")  # KELVIN SIGN, sharp s


def test_isupport_is_read_and_taken_back():
    found = isupport(
        "PREFIX=(qaohv)~&@%+", "CHANTYPES=#", "LINELEN=1024", "WHOX", "BOT=B", "HOSTLEN=64"
    )
    assert (found.prefix_modes, found.prefixes) == ("qaohv", "~&@%+")
    assert (found.linelen, found.whox, found.bot, found.hostlen) == (1024, True, "B", 64)
    found.feed(["me", "-WHOX", "-LINELEN", r"CHANTYPES=\x23+", "are supported"])
    assert (found.linelen, found.whox) == (512, False)
    assert found.is_channel("+c") and found.is_channel("#c")


NONSENSE = [
    "PREFIX=ov@+",
    "PREFIX=(ov)@",
    "PREFIX=",
    "CHANMODES=",
    "CHANMODES=,,,,,,",
    "LINELEN=5",
    "LINELEN=x",
]
NONSENSE += [
    "LINELEN=99999999999",
    "SET=1",
    "=",
    "",
    "-",
    "CASEMAPPING",
    "_read=1",
    "BOT",
    "HOSTLEN=-1",
]


@pytest.mark.parametrize("token", NONSENSE)
def test_isupport_that_makes_no_sense_leaves_the_defaults(token):
    found = isupport(token)
    assert (found.prefix_modes, found.prefixes, found.linelen) == ("ov", "@+", 512)
    assert found.modes(["+o", "a"]) == [("+", "o", "a")]


@few
@given(st.lists(st.text(max_size=30)))
def test_no_isupport_raises(tokens):
    isupport(*tokens).fold("X")


def test_mode_parameters_go_to_the_modes_that_take_one():
    found = isupport("PREFIX=(qov)~@+", "CHANMODES=IXbeg,k,Hfl,cimnt")
    assert found.modes(["+Hc-lk+qn", "9:9", "key", "alice", "spare"]) == [
        ("+", "H", "9:9"),
        ("+", "c", ""),
        ("-", "l", ""),
        ("-", "k", "key"),
        ("+", "q", "alice"),
        ("+", "n", ""),
    ]
    assert found.modes([]) == []
    assert found.modes(["+o"]) == [("+", "o", "")]
