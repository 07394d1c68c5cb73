"""!nap for ircops: sleeps, then says what it is told."""

import subprocess

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("seconds", type=int)
@click.argument("word")
def nap(seconds, word):
    """Sleep SECONDS, then say WORD."""
    subprocess.call(["sleep", str(seconds)])
    click.echo(word)
