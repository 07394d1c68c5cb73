"""!last: how the last job ended."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.pass_obj
def last(ops):
    """How the last job called here ended, and its last lines."""
    job = ops.on_loop(ops.last_here)
    at = job.ended.astimezone()
    click.echo(f"#{job.number} {at:%H:%M} {job.user} {job.line}: {job.outcome}")
    for line in job.tail(3):
        click.echo(line)
