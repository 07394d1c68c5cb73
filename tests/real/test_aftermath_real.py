"""A bot that is killed, and the next one, which accounts for every job: whole bots, a real IRC server, a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.people import until
from tests.real.ircds import Ircd
from tests.real.sshd import Sshd
from tests.real.test_whole_bot import running

pytest_plugins = ["tests.real.ircds", "tests.real.sshd"]


def arguments(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def sleepers(sshd: Sshd, seconds: str) -> list[int]:
    wanted = f"sleep\0{seconds}\0".encode()
    return [pid for pid in sshd.commands() if arguments(pid) == wanted]


@pytest.mark.slow
def test_after_kill_9_what_was_detached_is_told_to_its_end_and_what_was_not_is_lost(
    ngircd: Ircd, sshd: Sshd, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    patient = f"echo begun; until [ -e {go} ]; do sleep 0.1; done; echo done; exit 3"

    async def scene() -> None:
        async with ngircd.person("ann") as ann:
            await ann.join("#killed")
            with running(tmp_path, ngircd.address, sshd, "#killed", code=-signal.SIGKILL) as bot:
                await ann.until("opsbot", "JOIN")
                await ann.say(
                    f"PRIVMSG #killed :!run --detach web[1-2] '{patient}'",
                    "PRIVMSG #killed :!run --detach web3 'echo here; sleep 3912'",
                    "PRIVMSG #killed :!run web3 'sleep 3913'",
                )
                await until(lambda: sleepers(sshd, "3912") and sleepers(sshd, "3913"), 20)
                await until(lambda: len(begun(sshd)) == 3, 20)
                bot.kill()
                bot.wait()
            with running(tmp_path, ngircd.address, sshd, "#killed"):
                lost = await ann.until("#killed", "is lost: the bot was killed while it ran; ")
                assert ": run web3 'sleep 3913') is lost" in lost
                assert lost.endswith("; it may still run on web3")
                (pid,) = sleepers(sshd, "3913")
                os.kill(pid, signal.SIGKILL)
                await ann.say("PRIVMSG #killed :!jobs")
                await ann.until("#killed", "run --detach web3", "running for")
                (number,) = [n for n in range(1, 5) if f"job {n} " in lost]
                await ann.say(f"PRIVMSG #killed :!kill {number - 1}")
                await ann.until("#killed", "killed on web3")
                assert not sleepers(sshd, "3912")
                go.touch()
                await ann.until("#killed", "found again after a restart")
                await ann.until("#killed", "web[1-2]:")
                for words in ("begun", "done", "exit 3"):
                    await ann.until("#killed", words)
                await ann.say("PRIVMSG #killed :!record --command run")
                await ann.until("#killed", "run --detach web[1-2]", ": exit 1 (")
                await until(lambda: not list(sshd.directory.glob(".local/state/ircops/jobs/*")), 20)

    asyncio.run(scene())


def begun(sshd: Sshd) -> list[Path]:
    outputs = sshd.directory.glob(".local/state/ircops/jobs/*/out")
    return [path for path in outputs if path.read_bytes()]


@pytest.mark.slow
def test_a_bot_that_ends_in_peace_hands_detached_jobs_over(
    ngircd: Ircd, sshd: Sshd, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    line = f"until [ -e {go} ]; do sleep 0.1; done; echo late"

    async def scene() -> None:
        async with ngircd.person("ann") as ann:
            await ann.join("#peace")
            with running(tmp_path, ngircd.address, sshd, "#peace"):
                await ann.until("opsbot", "JOIN")
                await ann.say(f"PRIVMSG #peace :!run --detach web1 '{line}'")
                await until(lambda: sleepers(sshd, "0.1"), 20)
            await ann.until("#peace", "goes on without the bot on web1")
            go.touch()
            with running(tmp_path, ngircd.address, sshd, "#peace"):
                await ann.until("#peace", "found again after a restart")
                await ann.until("#peace", "web1: late")
                await ann.say("PRIVMSG #peace :!last")
                await ann.until("#peace", f"run --detach web1 '{line}': ok")
                await ann.until("#peace", "web1: late")
                await ann.say("PRIVMSG #peace :!again")
                await ann.until("#peace", "again: run --detach web1")
                await ann.until("#peace", "web1: late")

    asyncio.run(scene())
