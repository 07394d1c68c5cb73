"""!again: a job once more."""

import click

from ircops import requires


# No limit of its own: the command that runs has one.
@requires("viewer", timeout=0)
@click.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.pass_obj
def again(ops, number):
    """Run job NUMBER, or your last one here, again.

    With your own rights, and through every stage.
    """
    job = ops.on_loop(ops.jobs.find, number) if number else ops.on_loop(ops.last_here, True)
    if "***" in job.line:
        raise click.ClickException(f"job {job.number} held a secret, which was not kept; type it")
    click.echo(f"again: {job.line}")
    if code := ops.on_loop(ops.call_too, job.line):
        click.get_current_context().exit(code)
