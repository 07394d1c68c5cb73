"""`ircops totp`: who has an authenticator, at a shell of the bot's machine and nowhere else.

Imports what is heavy where it is used, for `ircops --help` shows this too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ircops.chosen import config_option, load

if TYPE_CHECKING:
    from ircops.config import Settings
    from ircops.totp import Totp


@click.group()
def totp() -> None:
    """Say who has an authenticator for commands that ask for a one-time code."""


@totp.command()
@config_option
@click.argument("account")
def add(config: Path | None, account: str) -> None:
    """Give ACCOUNT a secret, shown this once as a link and as a QR code to scan."""
    settings = load(config)
    name = _name(settings, account)
    link = _totp(settings).add(name, settings.bot.nick)
    import segno

    segno.make(link).terminal(compact=True)
    click.echo(link)
    click.echo(f"next: have {name} scan it, then tell {settings.bot.nick} in private: totp CODE")


@totp.command("list")
@config_option
def list_(config: Path | None) -> None:
    """List the accounts that have one."""
    for account in _totp(load(config)).accounts:
        click.echo(account)


@totp.command()
@config_option
@click.argument("account")
def remove(config: Path | None, account: str) -> None:
    """Take the secret of ACCOUNT away; a code it has given is void at once."""
    settings = load(config)
    name = _name(settings, account)
    _totp(settings).remove(name)
    click.echo(f"removed {name}")


def _totp(settings: Settings) -> Totp:
    from ircops.totp import Totp

    return Totp(settings.bot.state)


def _name(settings: Settings, account: str) -> str:
    """The account as rights know it. Raises BadParameter for what proves nobody, or is of no network."""
    from ircops.shapes import PROVEN

    if not re.fullmatch(PROVEN, account):
        raise click.BadParameter("it is an account, network/account or unix:NAME")
    if unclear := settings.unclear(account):
        raise click.BadParameter(f"it {unclear}")
    return account.rpartition("/")[2] if len(settings.networks) < 2 else account
