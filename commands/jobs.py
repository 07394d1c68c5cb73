"""!jobs: what runs and what ran."""

from datetime import UTC, datetime

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.option("-n", "--last", type=click.IntRange(min=0), default=3, help="ended jobs to show")
@click.pass_obj
def jobs(ops, last):
    """What is running, and the last jobs that ended."""
    running, recent = ops.on_loop(lambda: (ops.jobs.running, ops.jobs.recent))
    now = datetime.now(UTC)
    others = [job for job in running if job.number != ops.job.number]
    for job in others:
        seconds = (now - job.started).total_seconds()
        away = f"; {', '.join(job.away)} out of reach" if job.away else ""
        click.echo(f"#{job.number} {job.user} {job.line}: {job.state} for {seconds:.0f} s{away}")
    if not others:
        click.echo("nothing is running")
    for job in recent[:last]:
        at = job.ended.astimezone()
        click.echo(f"#{job.number} {at:%H:%M} {job.user} {job.line}: {job.outcome}")
