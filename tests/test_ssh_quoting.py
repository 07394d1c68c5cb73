"""Words that arrive as they were, whatever shell the line is given to."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.ssh.quoting import quoted

SHELLS = ["sh", "bash", "dash", "tcsh", "fish"]
EVIL = [
    "a b",
    "it's",
    "",
    "$HOME `id` $(id)",
    "!!",
    "two\nlines\n",
    "\\",
    "\\\\",
    "\\'",
    "\\n",
    "~",
    "*",
    '"',
    "%s",
    "-n",
    "é\t",
]


def arrived(shell: str, words: list[str]) -> list[str]:
    line = quoted(["printf", r"%s\0", *words])
    done = subprocess.run([shell, "-c", line], capture_output=True, timeout=20, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_words_arrive_in_every_shell(shell: str) -> None:
    assert arrived(shell, EVIL) == EVIL
    for word in EVIL:
        assert arrived(shell, [word]) == [word]


def test_what_all_shells_take_is_quoted_as_ever() -> None:
    words = ["echo", "$HOME", "it's", r"\n"]
    assert quoted(words) == shlex.join(words)


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=15, deadline=None)
@given(st.lists(text, min_size=1, max_size=4))
def test_any_words_arrive(words: list[str]) -> None:
    for shell in SHELLS[:1] + [shell for shell in SHELLS[3:] if shutil.which(shell)]:
        assert arrived(shell, words) == words
