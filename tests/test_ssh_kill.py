"""Marks and the scripts around them, in every shell that is here; kills over SSH are in real/test_ssh_kill.py."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ircops.ssh.kill import KILLER, START, Mark, with_environment

SHELLS = [
    shell for shell in (["sh"], ["bash"], ["dash"], ["busybox", "sh"]) if shutil.which(shell[0])
]


@contextlib.contextmanager
def started(
    shell: list[str], line: str, is_leader: bool, is_led: bool = False
) -> Iterator[tuple[Mark, int]]:
    """`line` as a host would start it, in this shell; its mark, and the pid that it was started as."""
    mark = Mark()
    script = with_environment("", {"IRCOPS_RUN": mark.word, "SHELL": "/bin/sh"}) + START
    words = [mark.line(line, {}, is_led=True)] if is_led else [script, mark.word, line]
    with subprocess.Popen(
        [*shell, "-c", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=is_leader,
    ) as process:
        assert process.stdout and process.stderr
        try:
            assert mark.strip(process.stderr.readline()) == b""
            assert process.stdout.readline() == b"begun\n"
            yield mark, process.pid
        finally:
            if mark.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(mark.pid, signal.SIGKILL)


def killer(shell: list[str], mark: Mark, born: str = "") -> str:
    words = [*shell, "-c", KILLER, mark.word, str(mark.pid), born or mark._born]
    return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("is_leader", [True, False])
def test_a_tree_is_in_a_group_of_its_own_and_all_of_it_dies(
    shell: list[str], is_leader: bool
) -> None:
    nap = f"sleep 3711.{os.getpid()}"
    line = f"trap '' TERM; env -i {nap} & setsid {nap} & echo begun; wait"
    with started(shell, line, is_leader) as (mark, pid):
        assert os.getpgid(pid) == mark.pid == pid != os.getpgid(0)
        assert killer(shell, mark) == "gone\n"
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        assert f"\n{nap}\n" not in running


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_where_a_session_is_known_to_be_made_no_process_more_is_needed(shell: list[str]) -> None:
    with started(shell, "echo begun; sleep 3713", True, is_led=True) as (mark, pid):
        assert mark.pid == pid
        assert killer(shell, mark) == "gone\n"
    with started(shell, "echo begun", False, is_led=True) as (mark, _):
        assert mark.pid == 0  # no session there after all, so nothing will be proved


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_stranger_that_got_the_pid_of_one_that_ended_is_left_alone(shell: list[str]) -> None:
    with started(shell, "env -i sh -c 'echo begun; exec sleep 3712'", True) as (mark, _):
        stranger = Mark()
        stranger.pid = mark.pid
        assert killer(shell, stranger, born="1") == "gone\n"  # ours, that is
        os.killpg(mark.pid, 0)


def test_what_cannot_be_killed_is_named() -> None:
    words = ["sh", "-c", KILLER.replace("kill -s", ": -s"), Mark().word, str(os.getpgid(0)), "-"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.split()
    assert said[0] == "left" and str(os.getpid()) in said[1:]


def test_the_mark_is_taken_out_of_stderr_however_it_comes_in_pieces() -> None:
    for step in (1, 7, 1000):
        mark = Mark()
        said = (
            b"bash: warning: no locale\n" + f"{mark.word} 1234 5678 /bin/bash\n".encode() + b"err\n"
        )
        kept = b"".join(mark.strip(said[at : at + step]) for at in range(0, len(said), step))
        assert kept + mark.rest() == b"bash: warning: no locale\nerr\n"
        assert mark.pid == 1234 and mark.is_led


def test_stderr_without_a_mark_is_kept_whole() -> None:
    mark = Mark()
    assert mark.strip(b"this account is closed\n") == b""
    assert mark.rest() == b"this account is closed\n"
    assert mark.strip(b"more\n") == b"more\n"
    mark = Mark()
    assert len(mark.strip(b"x" * 100_000)) == 100_000
    assert mark.pid == 0
