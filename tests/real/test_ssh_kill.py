"""A kill that is proved, against a real OpenSSH: nothing is called killed that still runs, and nothing else dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ircops.call import Stop
from ircops.ssh.kill import TIME
from tests.people import until_true as until
from tests.real.sshd import serve
from tests.real.test_ssh_real import one, opened

if TYPE_CHECKING:
    from tests.real.sshd import Sshd

pytest_plugins = ["tests.real.sshd"]

# a leader, a child, one in a session of its own, and one that has thrown its environment away
TREE = """\
trap '' TERM
sleep {time} &
setsid sh -c 'trap "" TERM; sleep {time}' &
env -i sh -c 'trap "" TERM; sleep {time}' &
echo begun; wait
"""


def sleeping(seconds: str) -> list[int]:
    """The processes that are `sleep SECONDS`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if entry.read_bytes() == b"sleep\0" + seconds.encode() + b"\0":
                found.append(int(entry.parent.name))
    return found


def test_a_tree_that_ignores_term_is_killed_to_its_last_leaf(sshd: Sshd) -> None:
    result = one(sshd.settings(), TREE.format(time="3601"), timeout=0.5)
    assert (result.stdout, result.error) == ("begun\n", "timed out after 0.5 s; killed")
    assert not sleeping("3601")


def test_a_command_that_tidies_up_on_term_is_given_the_time(sshd: Sshd, tmp_path: Path) -> None:
    line = f"trap 'sleep 0.2; touch {tmp_path}/tidy; exit' TERM; sleep 3602 & wait"
    assert one(sshd.settings(), line, timeout=0.5).error.endswith("; killed")
    assert (tmp_path / "tidy").exists()


def test_children_that_never_stop_forking_die_as_a_group(sshd: Sshd, tmp_path: Path) -> None:
    line = "trap '' TERM; breed() { sleep 0.03; breed & }; for n in 1 2 3 4 5 6 7 8; do breed & done; wait; sleep 3603"
    result = one(sshd.settings(), line, timeout=0.5)
    assert result.error == "timed out after 0.5 s; killed"
    assert not any("breed" in Path(f"/proc/{pid}/cmdline").read_text() for pid in sshd.commands())
    assert not sleeping("3603")


def test_of_two_bots_on_a_host_each_ends_its_own(sshd: Sshd) -> None:
    mine, yours = Stop(), Stop()
    with opened(sshd.settings()) as one_bot, opened(sshd.settings()) as other_bot:
        ended = one_bot.run("sleep 3604", "web1", stop=mine)
        goes_on = other_bot.run("sleep 3604", "web1", stop=yours)
        until(lambda: len(sleeping("3604")) == 2)
        mine.ask("killed by carol")
        assert ended.ending == "killed on web1"
        assert len(sleeping("3604")) == 1
        yours.ask("killed by dave")
        assert str(goes_on) == "web1: stopped: killed by dave; killed"
    assert not sleeping("3604")


def test_closing_the_bot_kills_what_runs(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        results = fanout.run("sleep 3605", "@web")
        until(lambda: len(sleeping("3605")) == 3)
    assert not sleeping("3605")
    assert str(results) == "web[1-3]: stopped: the bot is stopping; killed"


def test_a_host_that_has_stopped_answering_is_not_called_dead(sshd: Sshd) -> None:
    stop = Stop()
    with opened(sshd.settings()) as fanout:
        results = fanout.run("sleep 3606", "web1", stop=stop)
        until(lambda: sleeping("3606"))
        with stuck(sshd):
            began = time.monotonic()
            stop.ask("killed by carol")
            assert time.monotonic() - began < 0.2  # the loop is not held up
            assert results.ending == "web1 unreachable: may still run"
            assert time.monotonic() - began < TIME + 1
        (pid,) = sleeping("3606")
        assert results.failed[0].error == (
            f"stopped: killed by carol; unreachable, may still run there (pid {pid})"
        )
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def stuck(sshd: Sshd) -> Iterator[None]:
    """Its sessions do nothing."""
    sessions = sshd.sessions()
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)


def test_a_connection_that_takes_no_more_sessions_is_gone_around(tmp_path: Path) -> None:
    stop = Stop()
    with serve(tmp_path, MaxSessions=1) as small, opened(small.settings()) as fanout:
        results = fanout.run("sleep 3607", "web1", stop=stop)
        until(lambda: sleeping("3607"))
        stop.ask("killed by carol")
        assert results.ending == "killed on web1"
        assert not sleeping("3607")


def test_a_forced_command_is_never_called_killed(tmp_path: Path) -> None:
    with serve(tmp_path, ForceCommand="sleep 3608") as forced:
        error = one(forced.settings(), "true", timeout=0.5).error
        assert error == "timed out after 0.5 s; may still run there"
        assert sleeping("3608")  # as was said
    assert not sleeping("3608")


def test_what_start_up_files_say_is_kept_and_our_mark_is_not(sshd: Sshd) -> None:
    settings = sshd.settings()
    (sshd.directory / ".bashrc").write_text("echo hello >&2\n")
    try:
        result = one(settings, 'echo err >&2; printf %s "$-"')
    finally:
        (sshd.directory / ".bashrc").unlink()
    assert result.stderr in ("hello\nerr\n", "err\n")  # not every shell reads it
    assert result.ok


@pytest.mark.parametrize("fast", [False, True])
def test_a_kill_takes_about_no_time_when_nothing_resists(sshd: Sshd, fast: bool) -> None:
    began = time.monotonic()
    assert one(sshd.settings(), "sleep 3609", timeout=0.2, fast=fast).error.endswith("; killed")
    assert time.monotonic() - began < 2
    assert not sleeping("3609")
