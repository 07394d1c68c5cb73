"""The `ircops` program: one click command for each thing a person does with it at a shell.

Heavy parts are imported where they are used, so that `ircops --help` answers at once.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from ircops import archive, enrol
from ircops.chosen import config_option, find, load
from ircops.errors import BAD_CONFIG, OpsError

if TYPE_CHECKING:
    from ircops.call import Kind
    from ircops.config import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An ops bot that lives on IRC: !commands over SSH, scheduled health reports, one record."""


@main.command()
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Log what is usually not worth a line.")
def run(config: Path | None, verbose: bool) -> None:
    """Run the bot until it is told to stop (SIGTERM); SIGHUP reads the settings again."""
    import asyncio

    _log_to_stderr(verbose)
    settings = load(config)
    with _stuck_threads_do_not_hold_us():
        sys.exit(asyncio.run(_run(settings)))


async def _run(settings: Settings) -> int:
    import gc

    from ircops.bot import Bot

    bot = Bot(settings)
    await bot.start()
    gc.freeze()  # all this stays to the end: a collection that looks at it is a pause for nothing
    gc.set_threshold(20_000, 50, 100)  # each call makes some hundred things, and hardly a circle
    try:
        return await bot.serve()
    finally:
        await bot.stop()


@main.command()
@config_option
def check(config: Path | None) -> None:
    """Find every fault in the settings and the commands, and reach nothing. Exit 0, or 78."""
    settings = load(config)
    from ircops.bot import check as check_all
    from ircops.ssh.inventory import Inventory

    inventory = Inventory(settings)
    catalog = check_all(settings, inventory)
    for note in inventory.check()[1]:
        click.echo(note, err=True)
    click.echo(
        f"{settings.path}: ok: {len(settings.networks)} networks, {len(inventory.all)} hosts, "
        f"{len(catalog.root.commands)} commands, {len(settings.schedules)} schedules"
    )


@main.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
@config_option
@click.option("--console", type=click.Path(path_type=Path), help="The socket of the running bot.")
@click.argument("line", nargs=-1, required=True, type=click.UNPROCESSED)
def do(config: Path | None, console: Path | None, line: tuple[str, ...]) -> None:
    """Have the running bot take LINE, or, if none runs, do it here: ircops do 'load @web'."""
    import asyncio

    from ircops.prompt import ask

    said = line[0] if len(line) == 1 else shlex.join(line)
    settings = None if console else load(config)
    path = console or (settings.bot.console if settings else Path())
    code = ask(path, said, _show, _typed)
    if code is None and settings is None:
        raise OpsError(f"no bot listens at {path}")
    if code is None and settings is not None:
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        with _stuck_threads_do_not_hold_us():
            sys.exit(asyncio.run(_do_here(settings, said)))
    sys.exit(code)


@main.command()
@config_option
@click.option("--console", type=click.Path(path_type=Path), help="The socket of the running bot.")
def console(config: Path | None, console: Path | None) -> None:
    """Take lines to the running bot, for when IRC is down: at a prompt, or from a file on stdin."""
    from ircops.prompt import Typist, following
    from ircops.prompt import console as talk

    settings = None if console else load(config)
    path = console or (settings.bot.console if settings else Path())
    prefix = settings.bot.prefix if settings else "!"
    sys.exit(talk(path, _show, Typist(prefix, lambda begun: following(path, begun))))


async def _do_here(settings: Settings, line: str) -> int:
    """Take one line in this process: the same path, rights and record, no bot running."""
    from ircops.bot import Bot
    from ircops.call import Call, Reply, Sender
    from ircops.console import own_user

    bot = Bot(settings)
    await bot.start()
    try:
        name = own_user()
        sender = Sender(door="console", name=name, account=name, evidence="own process")
        outlet = _Screen()
        call = Call(sender, line, Reply(outlet))
        outlet.answer = lambda answer: (
            call.stop.ask("its input has ended") if answer is None else call.reply.answer(answer)
        )
        return await bot.dispatch.handle(call)
    finally:
        await bot.stop()


class _Screen:
    """An Outlet to this process's own terminal."""

    answer: Callable[[str | None], None]

    def write(self, kind: Kind, text: str) -> None:
        if kind.name != "QUESTION":
            _show(kind, text)
            return
        import asyncio

        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: self.answer(_typed(text)))

    def finish(self) -> None:
        pass

    def more(self) -> list[str]:
        return []


def _show(kind: Kind, text: str) -> None:
    """A line of a reply on a terminal: answers on stdout, the rest on stderr."""
    if kind.name in ("ANSWER", "REPORT"):
        click.echo(text, file=sys.__stdout__)
    elif kind.name == "ERROR":
        click.secho(f"error: {text}", fg="red", file=sys.__stderr__)
    else:
        click.secho(text, dim=kind.name == "PROGRESS", file=sys.__stderr__)


def _typed(question: str) -> str | None:
    """The answer on stdin; None at its end."""
    click.secho(question, file=sys.__stderr__)
    assert sys.__stdin__ is not None
    line = sys.__stdin__.readline()
    return line.rstrip("\n") if line else None


@main.command()
@click.option("--script", type=click.File(), help="Lines to play instead of a prompt.")
def demo(script: IO[str] | None) -> None:
    """An IRC server, three SSH hosts and the bot, in one process: a first look."""
    from ircops.demo.play import demo as play

    sys.exit(play(script.read().splitlines() if script else None))


@main.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("ircops.ini"))
def init(path: Path) -> None:
    """Ask a few questions and write a commented ircops.ini."""
    from ircops.init import ask as ask_all
    from ircops.init import init as write

    write(path, ask_all())
    click.echo(f"wrote {path}; next: ircops check --config {path}, then ircops run --config {path}")


@main.command("install-service")
@config_option
@click.option("--print", "only_print", is_flag=True, help="Show the unit, write nothing.")
def install_service(config: Path | None, only_print: bool) -> None:
    """Write the systemd unit for this installation and these settings."""
    from ircops import service

    path = find(config).resolve()
    click.echo(service.unit(path) if only_print else service.install(path))


main.add_command(archive.record)
main.add_command(archive.backup)
main.add_command(archive.log)
main.add_command(enrol.totp)


@main.command()
def version() -> None:
    """Say which ircops this is."""
    from ircops import __version__

    click.echo(f"ircops {__version__}")


def _log_to_stderr(verbose: bool) -> None:
    """Log as journald likes it (priority in front, no time) or, on a terminal, with the time."""
    handler = logging.StreamHandler()
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_Journal("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("paramiko", "apscheduler", "asyncio", "alembic", "irc.client", "irc.client_aio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Journal(logging.Formatter):
    """Each line with its syslog priority in front (sd-daemon(3))."""

    PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        number = next((n for level, n in self.PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{number}>{line}" for line in super().format(record).splitlines())


@contextmanager
def _stuck_threads_do_not_hold_us() -> Iterator[None]:
    """Leave at once at the end: a command's thread that never ends must not keep the process alive."""
    code: object = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code if isinstance(code, int) else BAD_CONFIG)
