"""What people may be told: every refusal and failure is one lower-case sentence with the next step in it.

These are click's own errors grown by a few kinds, so that dispatch, `ircops do` and a command's author
handle one family; any other exception is our bug and reaches only the log.
"""

from __future__ import annotations

from typing import IO

import click

OK, FAILED, USAGE, REFUSED_BY_SERVER, BAD_CONFIG = (
    0,
    1,
    2,
    77,
    78,
)  # 77, 78: sysexits(3) NOPERM, CONFIG


class OpsError(click.ClickException):
    """A sentence for the person who asked."""

    exit_code = FAILED


class Denied(OpsError):
    """The caller may not do this, here, now; the sentence says what it takes."""


class Stopped(OpsError):
    """The call was ended before it was done: killed, timed out, or the bot is shutting down."""


class HandedOver(OpsError):
    """The bot ends, and what the call waits for goes on without it; the next one follows it on."""


class Unrecorded(OpsError):
    """The record cannot be written, so nothing may start."""


class Refused(OpsError):
    """The IRC server will not have us: bad credentials or a ban. Trying again makes it worse."""

    exit_code = REFUSED_BY_SERVER


class BadConfig(OpsError):
    """Everything that is wrong with the settings, a line for each fault.

    `faults` are sentences that begin with `file:line: `.
    """

    exit_code = BAD_CONFIG

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults

    def show(self, file: IO[str] | None = None) -> None:
        for fault in self.faults:
            click.echo(fault, file=file, err=file is None)


def sentence(error: click.ClickException | str) -> str:
    """The error as one line in house style: lower-case start, no final stop, usage last.

    click writes "Missing argument 'HOSTS'."; people read "missing argument 'HOSTS' · usage: load HOSTS".
    """
    if isinstance(error, str):
        return error
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError):
        text = text[:1].lower() + text[1:].removesuffix(".")
        if error.ctx is not None:
            text += f" · usage: {usage(error.ctx)}"
    return text


def usage(context: click.Context) -> str:
    """How the command of `context` is written: `tail [OPTIONS] NUMBER`."""
    command = context.command
    has_options = any(isinstance(p, click.Option) and not p.hidden for p in command.params)
    pieces = command.collect_usage_pieces(context)
    return " ".join([context.command_path, *(p for p in pieces if has_options or p != "[OPTIONS]")])
