"""!kill: end a job."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
def kill(ops, number):
    """End job NUMBER: your own, or anybody's if you are an operator."""

    def tell():  # on the loop, where no run is added or forgotten meanwhile
        job = ops.jobs.kill(number, ops.user)
        return job, job.runs

    job, runs = ops.on_loop(tell)
    endings = [results.ending for results in runs]  # waits until they were looked for
    became = ", ".join(filter(None, endings))
    click.echo(f"job {number} ({job.line})" + (f": {became}" if became else " was told to stop"))
