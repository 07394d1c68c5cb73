"""Commands that outlive us on a real host, and output without end, against a real OpenSSH."""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ircops.call import Stop
from ircops.errors import HandedOver
from ircops.ssh.detach import Word
from ircops.ssh.spool import KEPT, Spool
from tests.people import until_true as until
from tests.real.sshd import serve
from tests.real.test_ssh_kill import sleeping
from tests.real.test_ssh_real import one, opened

if TYPE_CHECKING:
    from tests.real.sshd import Sshd

pytest_plugins = ["tests.real.sshd"]

COUNT = "for n in 1 2 3 4 5 6; do echo $n; echo e$n >&2; sleep 0.2; done; exit 3"
STATE = ".local/state/ircops/jobs"


def drawn() -> Word:
    return Word(secrets.token_hex(16))


def known(word: Word) -> Word:
    return Word(word.run, is_known=True)


def states(sshd: Sshd, word: Word) -> list[Path]:
    """What a run has left on its hosts, which are one."""
    places = [sshd.directory / STATE / word.on(host) for host in ("web1", "web2", "web3")]
    return [path for path in places if path.exists()]


def test_what_is_detached_answers_like_anything_else_and_can_be_asked_again(sshd: Sshd) -> None:
    word = drawn()
    line = 'echo "$IRCOPS_USER"; cat; echo err >&2; exit 3'
    with opened(sshd.settings()) as fanout:
        first = fanout.run(
            line, "@web", detach=word, stdin=b"in\n", environment={"IRCOPS_USER": "o'neill; id"}
        ).wait()
        for results in (first, fanout.run("", "@web", detach=known(word))):
            for result in results:
                assert (result.stdout, result.stderr) == ("o'neill; id\nin\n", "err\n")
                assert (result.exit_code, result.error) == (3, "")
        assert len(states(sshd, word)) == 3  # though they share a home directory
        assert all(path.stat().st_mode & 0o777 == 0o700 for path in states(sshd, word))
        fanout.forget(word, "@web").wait()
        assert not states(sshd, word)
        (gone,) = fanout.run("", "web1", detach=known(word))
        assert gone.error == "no trace of it there" and not gone.ok


def test_a_lost_connection_costs_neither_the_command_nor_a_byte(sshd: Sshd) -> None:
    word, told = drawn(), list[str]()
    with opened(sshd.settings()) as fanout:
        results = fanout.run(COUNT, "web1", detach=word, missing=told.append)
        until(lambda: "2" in results.so_far.get("web1", ""))
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        (result,) = results
        assert (result.stdout, result.stderr) == ("1\n2\n3\n4\n5\n6\n", "e1\ne2\ne3\ne4\ne5\ne6\n")
        assert result.exit_code == 3
        assert told == [
            "web1: connection lost; it is left to itself there, and looked for until it is found"
        ]
        assert not results.away
        fanout.forget(word, "web1").wait()


def test_another_bot_follows_it_on_and_its_kill_is_proved(sshd: Sshd) -> None:
    word, stop = drawn(), Stop()
    with opened(sshd.settings()) as first:
        left = first.run("trap '' TERM; echo begun; sleep 3921 & sleep 3921", "web1", detach=word)
        until(lambda: left.so_far)
        left.leave()
        with pytest.raises(HandedOver, match="goes on without the bot on web1"):
            left.wait()
    assert len(sleeping("3921")) == 2
    with opened(sshd.settings()) as second:
        found = second.run("", "web1", detach=known(word), stop=stop)
        stop.ask("killed by carol")
        (result,) = found
        assert result.error == "stopped: killed by carol; killed"
        assert not sleeping("3921")
        second.forget(word, "web1").wait()
    assert not states(sshd, word)


def test_a_host_that_is_away_is_looked_for_until_it_is_back(tmp_path: Path) -> None:
    word = drawn()
    with serve(tmp_path, MaxSessions=100) as sshd, opened(sshd.settings()) as fanout:
        fanout.run("echo done", "web1", detach=word).wait()
        os.kill(sshd.process.pid, signal.SIGSTOP)  # who connects now is not answered
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        with opened(sshd.settings(connect_timeout=0.3)) as later:
            found = later.run("", "web1", detach=known(word))
            until(lambda: found.away)
            os.kill(sshd.process.pid, signal.SIGCONT)
            (result,) = found
            assert result.stdout == "done\n" and result.ok


def test_what_is_detached_keeps_nobody_waiting(sshd: Sshd) -> None:
    word = drawn()
    with opened(sshd.settings(fanout=1)) as fanout:
        runs = [fanout.run("sleep 3923", "@web", detach=word) for _ in range(2)]
        until(lambda: len(sleeping("3923")) == 3)
        assert str(fanout.run("echo here", "web[1-3]")) == "web[1-3]: here"
        for results in runs:
            results.stop("killed by carol")
        assert runs[0].ending == "killed on 3 hosts"
        runs[1].wait()
        fanout.forget(word, "@web").wait()
    assert not sleeping("3923") and not states(sshd, word)


def test_what_nobody_came_for_is_thrown_away_in_time_and_nothing_else(sshd: Sshd) -> None:
    word, day = drawn(), 86400
    now = time.time()
    ages = {
        "ended-8": ("exit", 8),
        "ended-6": ("exit", 6),
        "dead-31": ("pid", 31),
        "dead-8": ("pid", 8),
    }
    for name, (file, days) in ages.items():
        path = sshd.directory / STATE / name / file
        path.parent.mkdir(parents=True)
        path.write_text("999999999 1\n")  # no process has this pid
        os.utime(path, (now - days * day, now - days * day))
    with opened(sshd.settings()) as fanout:
        assert fanout.run("true", "web1", detach=word).ok
        left = {name for name in ages if (sshd.directory / STATE / name).exists()}
        assert left == {"ended-6", "dead-8"}
        fanout.forget(word, "web1").wait()
    for name in left:
        shutil.rmtree(sshd.directory / STATE / name)


def test_a_time_limit_is_kept_and_the_kill_is_proved(sshd: Sshd) -> None:
    word, told = drawn(), list[str]()
    with opened(sshd.settings()) as fanout:
        results = fanout.run(
            "echo x; sleep 3924", "web1", detach=word, timeout=0.7, missing=told.append
        )
        assert [result.error for result in results] == ["timed out after 0.7 s; killed"]
        assert not told and not sleeping("3924")
        fanout.forget(word, "web1").wait()


def test_a_forced_command_cannot_be_detached_and_nobody_waits_for_it(tmp_path: Path) -> None:
    with serve(tmp_path, ForceCommand="echo forced") as sshd, opened(sshd.settings()) as fanout:
        (result,) = fanout.run("echo never", "web1", detach=drawn())
        assert (result.stdout, result.error) == ("forced\n", "it cannot be detached there")


def test_who_dies_without_an_exit_code_did_not_end_well(sshd: Sshd) -> None:
    word = drawn()
    with opened(sshd.settings()) as fanout:
        (result,) = fanout.run("echo last words; sleep 0.3; kill -9 0", "web1", detach=word)
        assert result.error == "ended there by a signal, or with the host"
        assert (result.stdout, result.exit_code) == ("last words\n", None)
        fanout.forget(word, "web1").wait()


def test_its_output_is_bounded_there_too(sshd: Sshd, tmp_path: Path) -> None:
    word = drawn()
    with opened(sshd.settings()) as fanout:
        line = "head -c 80000000 /dev/zero; echo end >&2"
        (result,) = fanout.run(line, "web1", detach=word, spool=Spool(tmp_path / "7", 10**9))
        assert result.ok and result.stderr == "end\n"
        assert result.stdout.endswith("bytes more were not kept there)\n")
        assert result.spooled is not None
        assert result.spooled.stat().st_size < 2**26 + 100
        fanout.forget(word, "web1").wait()


def test_a_host_without_room_for_its_state_says_so(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("in the way")
    with serve(tmp_path) as sshd, opened(sshd.settings()) as fanout:
        (result,) = fanout.run("echo never", "web1", detach=drawn())
        assert result.error == "it cannot be detached there" and ".local" in result.stderr
        assert not result.stdout


@pytest.mark.slow
def test_a_gigabyte_of_output_costs_the_bot_a_bounded_buffer(sshd: Sshd, tmp_path: Path) -> None:
    """In a process of its own, whose greatest size is looked at."""
    code = f"""
from tests.real.test_ssh_detach import flood
flood({str(sshd.directory)!r}, {sshd.port}, {sshd.user!r}, {str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 * 1024  # KiB
    spooled = tmp_path / "7" / "web1.out"
    assert spooled.stat().st_size == 100_000_000
    assert spooled.read_bytes()[-1000:] == b"\xff" * 1000


def flood(directory: str, port: int, user: str, spool: str) -> None:
    """Take a gigabyte that are no text, and print by how many KiB this process has grown."""
    from tests.real.sshd import Sshd

    sshd = Sshd(Path(directory), port, user, "", None)  # type: ignore[arg-type]
    with opened(sshd.settings()) as fanout:
        fanout.run("head -c 3000000 /dev/zero", "web1").wait()  # all is imported, a window was full
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        line = "tr '\\0' '\\377' </dev/zero | head -c 1000000000"
        (result,) = fanout.run(line, "web1", timeout=100, spool=Spool(Path(spool) / "7", 10**8))
        assert result.ok and result.spooled, result.error
        assert len(result.stdout) < 2 * KEPT
        assert "left out here; 7/web1.out has 100.0 MB" in result.stdout
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def test_a_terminal_is_there_on_request_only(sshd: Sshd) -> None:
    line = "tty >/dev/null && echo terminal || echo none; echo err >&2; exit 4"
    plain = one(sshd.settings(), line)
    assert (plain.stdout, plain.stderr) == ("none\n", "err\n")
    result = one(sshd.settings(), line, pty=True)
    assert (result.stdout, result.stderr, result.exit_code) == ("terminal\r\nerr\r\n", "", 4)
    over = one(sshd.settings(), "sleep 3922", pty=True, timeout=0.5)
    assert over.error == "timed out after 0.5 s; killed"


def test_the_hosts_own_log_hears_of_it_and_nothing_waits_for_that(
    sshd: Sshd, tmp_path: Path
) -> None:
    logger, log = tmp_path / "logger", tmp_path / "log"
    logger.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >>{log}\nsleep 1\n')
    logger.chmod(0o755)
    there = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with opened(sshd.settings()) as fanout:
        for word in (None, drawn()):
            note = f"job 42 by alice: run 'it' {bool(word)}"
            (result,) = fanout.run("echo x", "web1", note=note, environment=there, detach=word)
            assert (result.stdout, result.stderr, result.ok) == ("x\n", "", True)
            assert word or result.seconds < 1
            until(lambda note=note: log.exists() and note in log.read_text().splitlines())
            if word is not None:
                fanout.forget(word, "web1").wait()
        (result,) = fanout.run("echo x", "web1", note="no logger", environment={"PATH": "/none"})
        assert result.stdout == "x\n" and result.ok
