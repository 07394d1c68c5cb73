"""!get: a small file from a host."""

import os
import re

import click

from ircops import HOSTS, requires

MOST_SHOWN = 65536  # bytes of text that are said
HIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@requires("admin", timeout=120)
@click.command()
@click.argument("host", type=HOSTS)
@click.argument("path")
@click.pass_obj
def get(ops, host, path):
    """Show the file PATH of HOST; what is no text is kept by the bot."""
    if len(host) != 1:
        raise click.UsageError(f"{host} is more than one host")
    held = []

    def fetch(on):
        held.append(on.get(path))
        return on.done()

    for result in ops.each(fetch, host, timeout=60).failed:
        raise click.ClickException(f"{result.host}: {result.text}")
    (data,) = held
    text = as_text(data)
    click.echo(
        text if text is not None else f"{len(data)} bytes, kept as {kept(ops, host, path, data)}"
    )


def as_text(data):
    """What people can read; None if it is none, or too much."""
    try:
        text = data.decode()
    except ValueError:
        return None
    is_said = len(data) <= MOST_SHOWN and not HIDDEN.search(text)
    return (text.rstrip("\n") or "it is empty") if is_said else None


def kept(ops, host, path, data):
    """Write it into the state directory, for the bot's user only; gives where."""
    directory = ops.settings.bot.state / "files"
    directory.mkdir(mode=0o700, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", path.rpartition("/")[2])
    where = directory / f"{ops.job.number}-{host}-{name}"
    with open(where, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
    return where
