"""An answer between its marks, however it is cut on its way; shells over SSH are in real/test_ssh_shell.py."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.ssh.shell import KEPT, ONE, _Framed

WORD = "0123456789abcdef" * 2


@given(
    noise=st.binary(max_size=50),
    body=st.binary(max_size=300),
    code=st.integers(0, 255),
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_what_was_put_between_the_marks_comes_out(
    noise: bytes, body: bytes, code: int, steps: list[int]
) -> None:
    body = body.rstrip(b"\n")
    stream = noise + WORD.encode() + body + f"\n{code}{WORD}".encode()
    frame = _Framed(WORD)
    while stream:
        assert not frame.is_whole
        frame.add(stream[: steps[0]])
        stream, steps = stream[steps[0] :], [*steps[1:], steps[0]]
    assert frame.is_whole
    assert (frame.body, frame.code) == (body + b"\n" if body else b"", code)


def test_a_huge_answer_costs_no_more_than_is_kept() -> None:
    frame = _Framed(WORD)
    frame.add(WORD.encode())
    for _ in range(100):
        frame.add(b"x" * 100_000)
        assert len(frame._head) <= KEPT and len(frame._tail) < 100
    frame.add(f"\n7{WORD}".encode())
    assert frame.code == 7
    assert frame.body.endswith("\n(… 9.0 MB more not kept)\n".encode())


@pytest.mark.parametrize("shell", [["sh"], ["bash", "--posix"], ["busybox", "sh"]], ids=" ".join)
def test_every_shell_frames_alike(shell: list[str]) -> None:
    line = "'printf \"a\\nb\"; echo err >&2; exit 4'"
    text = "exec 3>&1 4>&2\n" + 2 * (ONE % {"line": line, "word": WORD})
    done = subprocess.run(shell, input=text, capture_output=True, text=True, timeout=10)
    assert done.stdout == 2 * f"{WORD}a\nb\n4{WORD}"
    assert done.stderr == 2 * f"{WORD}err\n0{WORD}"
