"""`ircops demo`: an IRC server, three SSH hosts, the bot and you in one channel, in one process.

Everything is real but small: the bot reads an ini, joins over TCP, opens SSH connections with keys made for this run,
and what it runs on the hosts really runs on this machine. All of it is gone at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ircops import ini
from ircops.bot import Bot
from ircops.demo.irc_server import DemoIrc
from ircops.demo.ssh_hosts import DemoHost, new_key
from ircops.errors import FAILED, OK, OpsError
from ircops.irc.protocol import Line, LineBuffer, build, parse
from ircops.store.database import Database
from ircops.store.schema import schedules
from ircops.store.times import stamp

CHANNEL = "#ops"
YOU = "you"
PATIENCE = 30.0  # seconds for an answer to begin
QUIET = 0.5  # seconds of silence after which an answer is taken as complete
REPORT = 30.0  # seconds for the scheduled report to come by itself
SCRIPT = """\
!help
!help load
!whoami
!load @web
!uptime @all
!health @all
!load db1
!mem @all
!run web1 'echo not for everybody'
!laod @web
!jobs
!record
""".splitlines()
INI = """\
[bot]
state = {directory}/state

[network demo]
server = 127.0.0.1:{port}
tls = no
channels = {channel}

[roles]
viewer = *
operator = mask:{you}!*@*

[ssh]
user = demo
key = {directory}/key
config = {directory}/ssh_config
known_hosts = {directory}/known_hosts
agent = no

[hosts]
{hosts}

[groups]
web = web[1-2]
db = db1

[schedule report]
at = * * * * *
run = health @all
in = {channel}
"""
ANSI = {
    "\x02": "\x1b[1m",
    "\x1d": "\x1b[3m",
    "\x1f": "\x1b[4m",
    "\x16": "\x1b[7m",
    "\x0f": "\x1b[0m",
}
INKS = dict(enumerate((97, 30, 34, 32, 31, 31, 35, 33, 93, 92, 36, 96, 94, 95, 90, 37)))


def demo(script: list[str] | None) -> int:
    """Show the bot at work: `script` is played, else a prompt is given, or without a terminal the script in the box.

    Gives 0 if every command was answered and a report came by itself.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if script is None and not sys.stdin.isatty():
        script = SCRIPT
    with (
        tempfile.TemporaryDirectory(prefix="ircops-demo-") as directory,
        contextlib.ExitStack() as servers,
    ):
        path = Path(directory)
        irc = servers.enter_context(DemoIrc())
        key = new_key(path / "key")
        hosts = [servers.enter_context(DemoHost(name, key)) for name in ("web1", "web2", "db1")]
        (path / "ssh_config").touch()
        (path / "known_hosts").write_text("".join(f"{host.known_hosts_line}\n" for host in hosts))
        lines = "\n".join(f"{host.name} = 127.0.0.1:{host.port}" for host in hosts)
        config = path / "ircops.ini"
        config.write_text(
            INI.format(directory=path, port=irc.port, channel=CHANNEL, you=YOU, hosts=lines)
        )
        return asyncio.run(_with_bot(config, irc.port, script))


async def _with_bot(config: Path, port: int, script: list[str] | None) -> int:
    """Start the bot and a person; play the script or hand over to the keyboard."""
    bot = Bot(ini.load(config))
    await bot.start()
    await asyncio.to_thread(_was_down, bot.database)
    person = Person(_print_log if script is not None else _print_above_prompt)
    await person.join(port)
    serving = asyncio.create_task(bot.serve())
    try:
        await person.meet("opsbot")
        click.echo(
            f"*** your own client may join too: server 127.0.0.1, port {port}, no TLS, channel {CHANNEL}"
        )
        if script is not None:
            return await _play(script, person, bot)
        await _prompt(person, serving)
        return OK
    finally:
        await person.leave()
        bot.end()
        await serving
        await bot.stop()


def _was_down(database: Database) -> None:
    """Let the schedule think that the bot was down when it was last due, so that nobody waits for the next minute."""
    with database.write() as connection:
        earlier = stamp(datetime.now(UTC) - timedelta(minutes=1))
        connection.execute(schedules.update().values(seen_at=earlier))


async def _play(script: list[str], person: Person, bot: Bot) -> int:
    """Say each line, wait for its whole answer; then for the report that nobody asked for."""
    unanswered = []
    for line in script:
        if not await person.converse(line, lambda: not bot.parts.jobs.running):
            unanswered.append(line)
    reported = await person.hear(lambda line: line.command == "NOTICE", REPORT)
    click.echo(
        f"*** {len(script) - len(unanswered)} of {len(script)} lines were answered; ", nl=False
    )
    click.echo(
        "a scheduled report came by itself" if reported else "the scheduled report did not come"
    )
    for line in unanswered:
        click.echo(f"*** no answer: {line}")
    return OK if reported and not unanswered else FAILED


class Person:
    """Somebody at an IRC client, in the channel with the bot. `show` gets who speaks, as clients write it, and the text."""

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._heard: list[Line] = []
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def join(self, port: int) -> None:
        """Connect and join."""
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.create_task(self._read(reader))
        self._send("NICK", YOU)
        self._send("USER", YOU, "0", "*", "You")
        self._send("JOIN", CHANNEL)
        await self.hear(lambda line: line.command == "366", PATIENCE)

    async def meet(self, nick: str) -> None:
        """Wait until `nick` has joined; OpsError if it does not."""
        if not await self.hear(lambda line: line.command == "JOIN" and line.nick == nick, PATIENCE):
            raise OpsError(f"{nick} did not join {CHANNEL}")

    async def leave(self) -> None:
        """Hang up."""
        if self._reading:
            self._reading.cancel()
            self._writer.close()

    def say(self, text: str) -> None:
        """Say it in the channel."""
        self._show(f"<{YOU}>", text)
        self._send("PRIVMSG", CHANNEL, text)

    async def converse(self, text: str, is_done: Callable[[], bool]) -> bool:
        """Say `text` and hear the answer out; False if none came."""
        begin = len(self._heard)
        self.say(text)
        if not await self.hear(lambda line: line.param(1).startswith(f"{YOU}: "), PATIENCE, begin):
            return False
        count = -1
        while count != len(self._heard) or not is_done():
            count = len(self._heard)
            await asyncio.sleep(QUIET)
        return True

    async def hear(self, is_it: Callable[[Line], bool], seconds: float, begin: int = 0) -> bool:
        """Wait for a line, from number `begin` on; False if it does not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not any(map(is_it, self._heard[begin:])):
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    def _send(self, *words: str) -> None:
        self._writer.write(build(*words) + b"\r\n")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        buffer = LineBuffer()
        while data := await reader.read(4096):
            buffer.feed(data)
            for line in filter(None, map(parse, buffer)):
                self._heard.append(line)
                if line.param(0) == CHANNEL and line.command in ("PRIVMSG", "NOTICE"):
                    who = f"<{line.nick}>" if line.command == "PRIVMSG" else f"-{line.nick}-"
                    self._show(who, line.param(1))
            self._news.set()


async def _prompt(person: Person, serving: asyncio.Task[int]) -> None:
    """Say what is typed until the input or the bot ends."""
    click.echo(
        f"*** you are {YOU}, an operator, in {CHANNEL}; try !help, !load @web, !health @all; Ctrl-D leaves"
    )
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def type_lines() -> None:
        with contextlib.suppress(EOFError):
            while True:
                text = input(PROMPT)
                if text.strip():
                    loop.call_soon_threadsafe(person.say, text)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=type_lines, daemon=True).start()  # input() cannot be cancelled
    left = asyncio.create_task(ended.wait())
    await asyncio.wait({left, serving}, return_when=asyncio.FIRST_COMPLETED)
    left.cancel()
    click.echo()


PROMPT = f"{CHANNEL}> "


def _print_log(who: str, text: str) -> None:
    click.echo(f"{datetime.now(UTC).astimezone():%H:%M:%S} {who} {_to_ansi(text)}")


def _print_above_prompt(who: str, text: str) -> None:
    """Print a line and give the prompt back, with what was being typed."""
    import readline

    if who != f"<{YOU}>":
        click.echo(f"\r\x1b[K{click.style(who, fg='cyan')} {_to_ansi(text)}")
        click.echo(PROMPT + readline.get_line_buffer(), nl=False)


def _to_ansi(text: str) -> str:
    """IRC formatting as a terminal shows it; click strips it where there is none."""
    text = re.sub(
        r"\x03(\d{1,2})(?:,\d{1,2})?", lambda code: f"\x1b[{INKS.get(int(code[1]), 39)}m", text
    )
    for code, sequence in ANSI.items():
        text = text.replace(code, sequence)
    return text + "\x1b[0m" if "\x1b" in text else text
