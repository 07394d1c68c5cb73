"""!tail: the last lines a job has put out."""

from collections import deque

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.option("-n", "--lines", type=click.IntRange(min=1), default=3, help="how many")
@click.pass_obj
def tail(ops, number, lines):
    """The last lines that job NUMBER has put out so far."""
    job = ops.on_loop(ops.jobs.find, number)
    is_mine = job.user.name == ops.user.name
    if not (job.where or is_mine or str(ops.user.role) in ("operator", "admin")):
        raise click.ClickException(
            f"job {number} was called in private; its output is for {job.user} and operators"
        )
    if not job.head:
        raise click.ClickException(f"job {number} has put out nothing")
    for line in deque(_output(job), maxlen=lines):
        click.echo(line)


def _output(job):
    """All its lines: from its file, if it has one by now."""
    try:
        with job.output.open(encoding="utf-8", errors="replace") as output:
            yield from (line.rstrip("\n") for line in output)
    except FileNotFoundError:
        yield from job.head.decode(errors="replace").removesuffix("\n").split("\n")
