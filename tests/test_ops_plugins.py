from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.ops.plugins import MOST_VALUES, State, outcome


@pytest.mark.parametrize(
    ("code", "said", "state", "text"),
    [
        (
            0,
            "DISK OK - free space: / 30 GiB (75%);| /=9GiB;32;36;0;40",
            State.OK,
            "free space: / 30 GiB (75%)",
        ),
        (1, "WARNING - load average: 4.1", State.WARNING, "load average: 4.1"),
        (2, "CRITICAL: queue is 12,000 long", State.CRITICAL, "queue is 12,000 long"),
        (3, "", State.UNKNOWN, "exit 3"),
        (0, "", State.OK, "ok"),
        (127, "sh: check_x: not found", State.UNKNOWN, "sh: check_x: not found"),
        (-9, "", State.UNKNOWN, "exit -9"),
    ],
)
def test_exit_code_and_first_line(code, said, state, text):
    found = outcome("x", "web1", code, said)
    assert (found.state, found.text) == (state, text)


def test_values_are_in_seconds_and_bytes_with_their_labels():
    said = (
        "OK | time=12ms;;;0.0 size=1KB rta=0.0123s load1=1,5 pl=0%;5;10 'a b''s'=7 bad=U x=-3.5e1c"
    )
    assert outcome("x", "web1", 0, said).values == (
        ("time", pytest.approx(0.012)),
        ("size", 1024),
        ("rta", 0.0123),
        ("load1", 1.5),
        ("pl", 0),
        ("a b's", 7),
        ("x", -35),
    )


def test_values_may_follow_in_longer_output():
    said = "DISK OK | /=1MB\n/ is fine\n/var is fine | /var=2MB\n/home=3MB"
    assert outcome("d", "web1", 0, said).values == (("/", 2**20), ("/var", 2 * 2**20))


def test_values_are_named_as_samples_are_and_not_without_end():
    many = "OK | " + " ".join(f"v{n}={n}" for n in range(99))
    found = outcome("mine", "web1", 0, many)
    assert len(found.values) == MOST_VALUES
    assert next(found.measures) == ("mine:v0", 0)


def test_long_words_are_cut():
    assert len(outcome("x", "web1", 2, "y" * 500).text) == 120


@given(st.integers(), st.text())
def test_no_plugin_breaks_it(code, said):
    assert outcome("x", "web1", code, said).state in State
