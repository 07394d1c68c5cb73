"""A few answers to a commented ircops.ini: the shipped one, with the answers in their places."""

from __future__ import annotations

import getpass
import importlib.resources
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import click

from ircops import shapes
from ircops.config import Address, Join
from ircops.errors import OpsError
from ircops.values import expand, reader

PLAIN_PORT = 6667  # where servers speak without TLS, by custom
EXAMPLES = frozenset({"provider lab", "check writable"})  # sections that nobody answered for
WITNESS = """

# ---- a witness -----------------------------------------------------------------------------------

# The head of the record, said where many people see and keep it: whoever cuts entries off, or makes all of
# them anew, is found out by `ircops record verify --head`.
[schedule witness]
at = 0 12 * * *
run = record --head
in = {channel}
"""


@dataclass(frozen=True)
class Answers:
    """What the bot must know of a place, as text for ircops.ini; an empty one leaves the default."""

    nick: str
    server: Address
    tls: bool
    channel: str  # #name or #name:KEY
    account: str = ""  # of the bot, at the network's services
    password: str = field(default="", repr=False)
    admin: str = ""
    viewer: str = ""
    hosts: str = ""  # names as ssh knows them, with spaces: `web[1-3] db1`
    user: str = ""  # to log in to the hosts as


def ask() -> Answers:
    """Ask at the terminal; an answer that cannot be is asked for again."""
    nick = _asked("Nick of the bot", "opsbot", shapes.Nick)
    server: Address = reader(Address)(
        _asked("IRC server, host:port", "irc.libera.chat:6697", Address)
    )
    tls = click.confirm("Encrypted (TLS)", default=server.port != PLAIN_PORT)
    channel = _asked("Channel", f"##ops-{getpass.getuser()}", Join)
    account = password = ""
    if tls or server.is_loopback:
        account = _asked("Services account of the bot (Enter: none)", "", shapes.Word)
    else:
        click.echo("Without TLS the bot does not log in to services: its password could be read.")
    if account:
        password = click.prompt("Its password", hide_input=True)
    admins = "Admins, as services accounts (Enter: only who may read its files here)"
    return Answers(
        nick=nick,
        server=server,
        tls=tls,
        channel=channel,
        account=account,
        password=password,
        admin=_asked(admins, "", tuple[shapes.Who, ...]),
        viewer=_asked("Who may look (* = anyone in the channel)", "*", tuple[shapes.Who, ...]),
        hosts=_asked("Hosts, such as web[1-3] db1", "localhost", Annotated[str, _are_hosts]),
        user=_asked("User to log in to them as (Enter: as ssh would)", "", shapes.Word),
    )


def _are_hosts(text: str) -> None:
    """Check that each word can begin a line of [hosts]."""
    for word in text.split():
        expand(word)


def _asked(question: str, default: str, hint: Any) -> str:
    """An answer that a reader of values.py takes; UsageError makes click ask again."""

    def check(text: str) -> str:
        try:
            reader(hint)(text)
        except ValueError as wrong:
            raise click.UsageError(str(wrong)) from None
        return text

    answer: str = click.prompt(question, default, value_proc=check, show_default=bool(default))
    return answer


def write(answers: Answers) -> str:
    """The text of an ircops.ini with these answers, every other key commented out as it is shipped."""
    network, channel = _network(answers.server.host), answers.channel.partition(":")[0]
    titles = {"network example": f"network {network}", "channel #ops": f"channel {channel}"}
    given = {
        ("bot", "nick"): answers.nick,
        ("network example", "server"): str(answers.server),
        ("network example", "tls"): "" if answers.tls else "no",
        ("network example", "sasl_username"): answers.account,
        ("network example", "sasl_password"): answers.password,
        ("network example", "channels"): answers.channel,
        ("roles", "admin"): answers.admin,
        ("roles", "viewer"): answers.viewer,
        ("ssh", "user"): answers.user,
        ("schedule morning", "in"): channel,
        ("watch fleet", "in"): channel,
    }
    lines, section = [], ""
    shipped = importlib.resources.files("ircops").joinpath("ircops.ini").read_text("utf-8")
    for line in shipped.splitlines():
        if header := re.fullmatch(r"\[(.+)\]", line):
            section = header[1]
            line = f"[{titles.get(section, section)}]"
        elif (key := re.match(r"#?(\w+) =", line)) and (value := given.get((section, key[1]))):
            line = f"{key[1]} = {value}"
        is_live = bool(line) and not line.startswith("#")
        lines.append(f"#{line}" if section in EXAMPLES and is_live else line)
        if header and section == "hosts":
            lines += ["", *(f"{host} =" for host in answers.hosts.split())]
    return "\n".join(lines) + WITNESS.format(channel=channel)


def init(path: Path, answers: Answers) -> None:
    """Write a new `path` that only its owner can read. OpsError if something is there."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise OpsError(f"{path} is there already; move it away, or name another") from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OpsError(f"cannot write {path}: {reason}; name another") from None
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(write(answers))


def _network(host: str) -> str:
    """A short name for the network of a server: irc.libera.chat is libera."""
    labels = re.findall(r"[a-z][a-z0-9-]*", host.lower())
    return labels[-2] if len(labels) > 1 else labels[0] if labels else "main"
