"""Fast commands by a resident shell of a real OpenSSH: answers never mix, and where there is no shell it is done without."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ircops.call import Stop
from ircops.ssh.detach import Word
from tests.people import until_true as until
from tests.real.sshd import serve
from tests.real.test_ssh_real import one, opened

if TYPE_CHECKING:
    from tests.real.sshd import Sshd

pytest_plugins = ["tests.real.sshd"]


def test_stdout_stderr_and_exit_code_come_apart_and_the_shell_stays(sshd: Sshd) -> None:
    line = 'printf "%s %s" "$IRCOPS_USER" "$$"; echo err >&2; exit 3'
    shells = set()
    with opened(sshd.settings()) as fanout:
        for user in ("o'neill; id", "bob", "x\\n$y"):
            (result,) = fanout.run(line, "web1", fast=True, environment={"IRCOPS_USER": user})
            said, _, shell = result.stdout.rpartition(" ")
            assert (said, result.stderr, result.exit_code) == (user, "err\n", 3)
            shells.add(shell)
    assert len(shells) == 1


def test_whatever_a_command_does_to_its_shell_the_next_is_unharmed(sshd: Sshd) -> None:
    nasty = [
        "echo $((",
        "exec 1>&- 2>&-",
        "cat; read x; exit 9",
        "trap 'echo trap' 0; set -eu; cd /; IFS=x; PATH=; false",
        "printf '%s' \"$(set)\"; printf '\\377\\0\\n\\n'; env",
        "exec sleep 0",
        "kill -9 $$",
        "eval '; )'",
        "echo() { printf wrong; }; printf() { :; }; readonly o=1 e=1 c=1",
        "head -c 3000000 /dev/zero | tr '\\0' x",
    ]
    with opened(sshd.settings()) as fanout:
        for line in nasty:
            fanout.run(line, "web1", fast=True, timeout=10).wait()
            (result,) = fanout.run("echo right; echo err >&2", "web1", fast=True)
            assert (result.stdout, result.stderr, result.exit_code) == ("right\n", "err\n", 0), line


def test_what_a_command_left_behind_cannot_write_into_a_later_answer(sshd: Sshd) -> None:
    late = "(sleep 0.4; echo late; echo late >&2) & echo now"
    with opened(sshd.settings()) as fanout:
        results = fanout.run(late, "web1", fast=True, timeout=10)
        for _ in range(20):
            (other,) = fanout.run("echo other", "web1", fast=True)
            assert (other.stdout, other.stderr) == ("other\n", "")
            time.sleep(0.02)
        (result,) = results
        assert result.stdout == "now\nlate\n" and result.stderr == "late\n"


def test_a_command_that_overruns_its_time_loses_its_own_channel_only(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        slow = fanout.run("sleep 1; echo slow", "web1", fast=True)
        over = fanout.run("sleep 3801", "web1", fast=True, timeout=0.3)
        assert str(over) == "web1: timed out after 0.3 s; killed"
        assert str(fanout.run("echo next", "web1", fast=True)) == "web1: next"
        assert str(slow) == "web1: slow"


def test_a_stop_kills_a_fast_command(sshd: Sshd) -> None:
    stop = Stop()
    with opened(sshd.settings()) as fanout:
        results = fanout.run("sleep 3802", "@web", fast=True, stop=stop)
        until(lambda: sum(b"3802" in arguments(pid) for pid in sshd.commands()) >= 3)
        stop.ask("killed by carol")
        assert str(results) == "web[1-3]: stopped: killed by carol; killed"
        assert not any(b"3802" in arguments(pid) for pid in sshd.commands())


def arguments(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_many_at_once_on_one_connection_all_get_their_own_answer(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        runs = [
            fanout.run(f"echo {number}; sleep 0.1; echo {number} >&2", "web1", fast=True)
            for number in range(12)
        ]
        for number, results in enumerate(runs):
            (result,) = results
            assert (result.stdout, result.stderr) == (f"{number}\n", f"{number}\n")


def test_idle_shells_make_room_for_commands(sshd: Sshd) -> None:
    with opened(sshd.settings(connect_timeout=3.0)) as fanout:
        fast = [fanout.run("sleep 0.1; echo $PPID", "web1", fast=True) for _ in range(3)]
        assert all(results.ok for results in fast)
        many = [fanout.run("sleep 0.5", "web1") for _ in range(10)]
        assert all(results.ok for results in many)


def test_a_connection_that_died_is_replaced(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        assert fanout.run("true", "web1", fast=True).ok
        for pid in sshd.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert str(fanout.run("echo back", "web1", fast=True)) == "web1: back"


def test_a_forced_command_gets_no_input_and_answers_by_itself(tmp_path: Path) -> None:
    with (
        serve(tmp_path, ForceCommand="echo forced; cat >&2") as forced,
        opened(forced.settings(connect_timeout=1.0)) as fanout,
    ):
        for _ in range(2):
            (result,) = fanout.run("echo ours", "web1", fast=True)
            assert (result.stdout, result.stderr) == ("forced\n", "")


def test_one_session_a_connection_is_enough(tmp_path: Path) -> None:
    with serve(tmp_path, MaxSessions=1) as small, opened(small.settings()) as fanout:
        for _ in range(2):
            assert str(fanout.run("echo fast", "web1", fast=True)) == "web1: fast"


def test_long_commands_and_those_with_stdin_do_without(sshd: Sshd) -> None:
    assert one(sshd.settings(), "cat", stdin=b"in", fast=True).stdout == "in"
    assert one(sshd.settings(), f"echo here # {'x' * 70_000}", fast=True).stdout == "here\n"


@pytest.mark.parametrize("shell", ["bash", "dash", "tcsh", "fish"])
def test_whatever_the_login_shell_commands_run_are_killed_and_detached(
    tmp_path: Path, shell: str
) -> None:
    if (program := shutil.which(shell)) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {shell} here: apt install it")
    forced = f'exec env SHELL={program} {program} -c "$SSH_ORIGINAL_COMMAND"'
    with serve(tmp_path, ForceCommand=forced) as sshd, opened(sshd.settings()) as fanout:
        for _ in range(2):  # the first tells which shell it is
            (result,) = fanout.run("echo $SHELL; exit 3", "web1")
            assert not result.error
            assert (result.stdout, result.stderr, result.exit_code) == (f"{program}\n", "", 3)
        words = ["printf", "%s|", "$HOME", "it's", "two\nlines", "!!"]
        (result,) = fanout.run(words, "web1", environment={"IRCOPS_USER": "o'neill!"})
        assert result.stdout == "$HOME|it's|two\nlines|!!|"
        (result,) = fanout.run("echo out; echo err >&2", "web1", fast=True)  # by a shell of POSIX
        assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)
        (result,) = fanout.run("sleep 3925", "web1", timeout=0.5)
        assert result.error == "timed out after 0.5 s; killed"
        word = Word(secrets.token_hex(16))
        (result,) = fanout.run("echo far; exit 4", "web1", detach=word)
        assert (result.stdout, result.exit_code) == ("far\n", 4)
        fanout.forget(word, "web1").wait()
