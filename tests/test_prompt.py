"""`ircops console` with a real bot whose IRC server is away: at a terminal, and from a file."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ircops.console import own_user
from tests.people import until_true
from tests.test_cli import IRCOPS, ircops

SETTINGS = """\
[bot]
state = {0}/state

[network test]
server = 127.0.0.1:1
tls = no
channels = #ops

[roles]
viewer = *

[command hello]
run = echo hello {{name}}
on = here
role = viewer

[command nap]
run = echo began; sleep 600
on = here
role = viewer

[command wipe]
run = echo wiped {{name}}
on = here
role = operator
confirm = yes

[command deploy]
run = echo deployed {{name}}
on = here
role = operator
approvals = 1
"""
ASKS = """
import click
from ircops import requires

@requires("viewer")
@click.command()
def greet():
    "Greet somebody."
    click.echo(f"good day, {click.prompt('who is there')}")
"""
PATIENCE = 20.0  # seconds


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Path]:
    """The settings of a bot that runs."""
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "greet.py").write_text(ASKS)
    settings = tmp_path / "ircops.ini"
    settings.write_text(SETTINGS.format(tmp_path))
    with subprocess.Popen(
        [IRCOPS, "run", "--config", settings], stderr=subprocess.DEVNULL
    ) as process:
        try:
            until_true((tmp_path / "state" / "console.sock").exists)
            yield settings
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


class Terminal:
    """`ircops console` in a terminal of its own."""

    def __init__(self, settings: Path) -> None:
        self._ours, theirs = pty.openpty()
        home = settings.parent / "home"
        home.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(home)}
        self.process = subprocess.Popen(
            [IRCOPS, "console", "--config", settings],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            preexec_fn=_lead,  # so that Ctrl-C reaches it
        )
        os.close(theirs)
        self.history = home / ".local/state/ircops/console_history"

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, pattern: str) -> str:
        """Read on until it has shown this; gives all that it has shown since the last time."""
        shown, deadline = "", time.monotonic() + PATIENCE
        while not re.search(pattern, shown):
            ready, _, _ = select.select([self._ours], [], [], deadline - time.monotonic())
            assert ready, f"{pattern!r} was not shown, but {shown!r}"
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # EIO: it has ended
                piece = b""
            assert piece, f"it ended before {pattern!r}: {shown!r}"
            shown += piece.decode(errors="replace")
        return shown

    def interrupt(self) -> None:
        """Ctrl-C, once it waits: Python's input may miss one that comes between its prompt and its waiting."""
        seen: list[str] = []

        def waits() -> bool:
            seen.append(self._used)
            return seen[-1].startswith("S") and seen[-5:] == seen[-1:] * 5

        until_true(waits)
        self.type("\x03")

    @property
    def _used(self) -> str:
        """Its state and the CPU it has used, as proc(5) has them."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return " ".join([fields[0], *fields[11:13]])

    def end(self) -> int:
        """What it ends with, after Ctrl-D."""
        self.type("\x04")
        code = self.process.wait(PATIENCE)
        os.close(self._ours)
        return code


def _lead() -> None:
    """In the child: a session of its own, with what it has on 0 for its terminal."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_at_a_terminal(bot: Path) -> None:
    terminal = Terminal(bot)
    assert "Ctrl-D leaves" in terminal.until("ircops> ")
    terminal.type("whoami\n")
    assert f"unix:{own_user()}" in terminal.until(r"\nircops> ")
    terminal.type("!hello world\n")
    assert "\nhello world" in terminal.until(r"\nircops> ")
    # the line before, by the arrow key
    terminal.type("\x1b[A\n")
    assert "\nhello world" in terminal.until(r"\nircops> ")
    terminal.type("helo\n")
    assert "did you mean hello?" in terminal.until(r"\nircops> ")
    # the rest of a word, by the tab key
    terminal.type("sched\tpau\t")
    assert "schedule pause " in terminal.until("pause ")
    terminal.type("--help\n")
    assert "usage: schedule pause" in terminal.until(r"\nircops> ")
    # what it asks is asked here
    terminal.type("greet\n")
    terminal.until("who is there: ?")
    terminal.type("carol\n")
    assert "good day, carol" in terminal.until(r"\nircops> ")
    # a line that was not meant
    terminal.type("hello nobo")
    terminal.until("nobo")
    terminal.interrupt()
    terminal.until(r"ircops> $")
    # a secret is not remembered
    terminal.type("hello --token abc123\n")
    terminal.until(r"\nircops> ")
    assert terminal.end() == 0
    kept = ["whoami", "hello world", "hello world", "helo", "schedule pause --help", "greet"]
    assert terminal.history.read_text().splitlines() == kept
    assert terminal.history.stat().st_mode & 0o077 == 0


def test_ctrl_c_stops_what_runs_and_shows_what_became_of_it(bot: Path) -> None:
    terminal = Terminal(bot)
    terminal.until("ircops> ")
    terminal.type("nap\n")
    terminal.until("began")
    terminal.interrupt()
    assert "error: stopped at its console" in terminal.until(r"\nircops> ")
    # at a question, too
    terminal.type("greet\n")
    terminal.until("who is there: ?")
    terminal.interrupt()
    assert "error: stopped at its console" in terminal.until(r"\nircops> ")
    terminal.type("jobs\n")
    assert "nothing is running" in terminal.until(r"\nircops> ")
    assert terminal.end() == 0
    record = ircops("record", "show", "--config", str(bot)).stdout
    assert "nap: stopped at its console" in record


def test_what_waits_for_consent_waits_at_the_console_too(bot: Path) -> None:
    asker, other = Terminal(bot), Terminal(bot)
    asker.until("ircops> ")
    other.until("ircops> ")
    asker.type("deploy shop\n")
    found = re.search(r"!approve (\w+)", asker.until(r"!approve \w+"))
    assert found
    other.type(f"approve {found[1]}\n")
    assert "somebody else must approve it" in other.until(r"\nircops> ")
    other.type(f"deny {found[1]} not now\n")
    other.until(r"\nircops> ")
    assert "denied by" in asker.until(r"\nircops> ")
    asker.type("wipe shop\n")
    found = re.search(r"!confirm (\w+)", asker.until(r"!confirm \w+"))
    assert found
    other.type(f"confirm {found[1]}\n")
    assert "wiped shop" in asker.until(r"\nircops> ")
    assert [asker.end(), other.end()] == [0, 0]


def test_lines_of_a_file(bot: Path) -> None:
    lines = "# a remark\n\nhello one\n!hello two\ngreet\ndave\nhelo\nhello three\ngreet\n"
    answer = ircops("console", "--config", str(bot), input=lines)
    assert answer.stdout.splitlines() == [
        *("hello one", "hello two", "good day, dave", "hello three"),
    ]
    assert "unknown command helo" in answer.stderr
    assert "stopped at its console" in answer.stderr  # the last question has no answer
    assert answer.returncode == 2  # of the first that failed
    socket = str(bot.parent / "state" / "console.sock")
    assert ircops("console", "--console", socket, input="hello there\nquit\nhelo\n").returncode == 0


def test_without_a_bot_there_is_one_clear_line(tmp_path: Path) -> None:
    answer = ircops("console", "--console", str(tmp_path / "s"), input="jobs\n")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        f"Error: no bot listens at {tmp_path}/s; "
        "start it (ircops run), or do a line without one: ircops do LINE\n"
    )


def test_a_bot_that_ends_is_said_and_may_come_back(bot: Path) -> None:
    terminal = Terminal(bot)
    terminal.until("ircops> ")
    socket = bot.parent / "state" / "console.sock"
    away = socket.rename(socket.with_name("away"))
    terminal.type("jobs\n")
    assert "no bot listens at" in terminal.until(r"\nircops> ")
    away.rename(socket)
    terminal.type("jobs\n")
    assert "nothing is running" in terminal.until(r"\nircops> ")
    assert terminal.end() == 0


def test_a_question_without_an_answer_ends_a_line_done_without_a_bot(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "greet.py").write_text(ASKS)
    (tmp_path / "ircops.ini").write_text(SETTINGS.format(tmp_path))
    answer = ircops("do", "greet", directory=tmp_path, input="")
    assert answer.returncode == 1
    assert answer.stderr.endswith("error: its input has ended\n")
