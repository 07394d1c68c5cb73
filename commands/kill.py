"""!kill: end a job."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
def kill(ops, number):
    """End job NUMBER: your own, or anybody's if you are an operator."""
    job = ops.on_loop(ops.jobs.kill, number, ops.user)
    click.echo(f"job {number} ({job.line}) was told to stop")
