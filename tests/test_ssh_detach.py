"""The scripts of a detached command in every shell that is here; over SSH they are in real/test_ssh_detach.py."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from ircops.ssh.detach import Word
from ircops.ssh.detached import LEADER, SCRIPT
from tests.test_ssh_kill import SHELLS


def do(
    shell: list[str], state: Path, word: str, todo: str, line: str = "", out: int = 0, err: int = 0
) -> subprocess.CompletedProcess[str]:
    """What a host would do, with this shell for both the leader and who follows it."""
    script = SCRIPT.replace(" sh -c ", f" {shlex.join(shell)} -c ")
    words = [*shell, "-c", script, word, todo, str(out), str(err), line, LEADER]
    there = {**os.environ, "XDG_STATE_HOME": str(state), "SHELL": "/bin/sh"}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=30, input="in\n", env=there
    )


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_shell_starts_follows_and_forgets(shell: list[str], tmp_path: Path) -> None:
    word = Word("0" * 32).on("web1")
    line = "cat; echo $IRCOPS_RUN; sleep 0.3; echo err >&2; exit 3"
    for todo in ("start", "start", "follow"):  # a second start only follows
        done = do(shell, tmp_path, word, todo, line)
        assert (done.stdout, done.returncode) == (f"in\n{word}\n", 3)
        mark, rest = done.stderr.split("\n", 1)
        assert mark.startswith(f"{word} ") and mark.endswith(" -") and rest == "err\n"
    done = do(shell, tmp_path, word, "follow", out=3, err=2)
    assert done.stdout == f"{word}\n" and done.stderr.endswith("\nr\n")
    assert do(shell, tmp_path, word, "forget").returncode == 0
    assert not list((tmp_path / "ircops" / "jobs").iterdir())
    done = do(shell, tmp_path, word, "follow")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 72)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_in_every_shell_output_is_bounded_and_counted(shell: list[str], tmp_path: Path) -> None:
    if shell == ["bash"]:
        shell = [
            "bash",
            "--posix",
        ]  # as it is when it is called sh; else its blocks are twice as big
    word = Word("1" * 32).on("web1")
    done = do(
        shell, tmp_path, word, "start", "head -c 70000000 /dev/zero | tr '\\0' x; echo end >&2"
    )
    told = done.stdout.removeprefix("x" * 2**26).removeprefix("\n(... ")
    assert 1_000_000 < int(told.partition(" ")[0]) < 70_000_000 - 2**26 + 1
    assert told.endswith(" bytes more were not kept there)\n")
    assert done.stderr.endswith("\nend\n") and done.returncode == 0


def test_two_bots_and_two_hosts_never_share_a_word() -> None:
    words = {Word(run).on(host) for run in ("a" * 32, "b" * 32) for host in ("web1", "web2")}
    assert len(words) == 4 and {len(word) for word in words} == {32}
