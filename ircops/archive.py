"""What was kept, read at a shell: `ircops record` and `ircops log`; and all of it copied: `ircops backup`.

Imports what is heavy where it is used, for `ircops --help` shows these too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ircops.chosen import config_option, load
from ircops.errors import OpsError

if TYPE_CHECKING:
    from ircops.record import Record
    from ircops.store.chain import Head
    from ircops.store.database import Database


@click.group()
def record() -> None:
    """Read the record of who did what, when, and how it ended."""


def _since(context: click.Context, parameter: click.Parameter, text: str) -> datetime | None:
    """A time span back from now, or a moment in UTC."""
    if not text:
        return None
    if span := re.fullmatch(r"(\d{1,5})([smhd])", text):
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[span[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(span[1])})
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "it is a time span, 2h or 7d, or 2026-11-22, 2026-11-22T09:00"
        ) from None
    return said if said.tzinfo else said.replace(tzinfo=UTC)


since_option = click.option(
    "--since", default="", metavar="SPAN|TIME", callback=_since, help="Only from then on, UTC."
)


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """--user, --host, --command and --since."""
    for option in (
        since_option,
        click.option("--command", default="", help="Only of this command."),
        click.option("--host", default="", help="Only on this host."),
        click.option("--user", default="", help="Only of this user."),
    ):
        command = option(command)
    return command


@record.command()
@config_option
@click.option(
    "--last", type=click.IntRange(1), default=50, show_default=True, help="How many entries."
)
@_filters
def show(config: Path | None, last: int, **wanted: Any) -> None:
    """Show the newest entries, oldest first."""
    with _opened_record(config) as entries:
        for entry in entries.entries(**wanted, last=last):
            click.echo(str(entry))


def _head(context: click.Context, parameter: click.Parameter, text: str) -> Head | None:
    """A head as `ircops record verify` and `!record --head` say it."""
    from ircops.store.chain import Head

    number, _, digest = text.partition(":")
    if not text:
        return None
    if not number.isdecimal() or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise click.BadParameter("it is a number, a colon, and 64 hex digits")
    return Head(int(number), digest)


@record.command()
@config_option
@click.option(
    "--head",
    "kept",
    default="",
    metavar="SEQ:HASH",
    callback=_head,
    help="One that was kept, in the channel by !record --head or from an earlier look.",
)
def verify(config: Path | None, kept: Head | None) -> None:
    """Prove that no entry was changed, removed or reordered. Exit 1 if one was.

    With a head of before, also that no newest ones were cut off, and that not all of it was made anew.
    """
    with _opened_record(config) as entries:
        faults = entries.verify(kept)
        for fault in faults:
            click.echo(fault)
        if faults:
            sys.exit(1)
        head = entries.head
        click.echo(f"ok: {head.seq} entries, head {head}")


@record.command()
@config_option
@click.option("--markdown", "is_for_people", is_flag=True, help="As tables, a row for each call.")
@_filters
def export(config: Path | None, is_for_people: bool, **wanted: Any) -> None:
    """Write the entries as lines of JSON, or as Markdown: all, or those that fit."""
    from ircops.export import Wanted, chosen, markdown

    with _opened_record(config) as entries:
        lines = chosen(entries.export(), Wanted(**wanted))
        for line in markdown(lines, entries.head) if is_for_people else lines:
            click.echo(line)


@contextmanager
def _opened_record(config: Path | None) -> Iterator[Record]:
    from ircops.record import Record

    with _opened_database(config) as database:
        yield Record(database)


@contextmanager
def _opened_database(config: Path | None) -> Iterator[Database]:
    settings = load(config)
    from ircops.store.database import Database

    database = Database(settings.bot.database, settings.bot.state)
    database.open()
    try:
        yield database
    finally:
        database.close()


@click.command()
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(config: Path | None, file: Path) -> None:
    """Copy the database to FILE, as of now and checked, while the bot runs; an older FILE is replaced."""
    settings = load(config)
    from ircops.store import chain
    from ircops.store.database import Database
    from ircops.store.verify import faults

    # not opened: that would bring an older schema up to date, and the copy is for the day this goes wrong
    Database(settings.bot.database, settings.bot.state).copy(file)
    with closing(Database(file.absolute())) as copy, copy.read() as connection:
        if found := faults(chain.rows(connection)):
            raise OpsError(f"{file} is written, but the record in it is bent: {'; '.join(found)}")
        head = chain.head(connection)
        click.echo(f"ok: {file} has {head.seq} entries, head {head}")


@click.group()
def log() -> None:
    """Read what was said in the channels."""


@log.command("export")
@config_option
@click.option("--channel", default="", help="Only this one: #ops or network/#ops.")
@since_option
@click.option(
    "--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True
)
def export_log(config: Path | None, channel: str, since: datetime | None, form: str) -> None:
    """Write every line that is kept, oldest first."""
    with _opened_database(config) as database:
        from ircops.transcript import Transcript, as_json, as_text

        for said in Transcript(database).export(channel, since):
            click.echo(as_json(said) if form == "jsonl" else as_text(said))
