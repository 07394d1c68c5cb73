"""!health: are hosts fine, and what is not."""

import time

import click

from ircops import HOSTS, requires


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS, default="@all")
@click.pass_context
def health(ctx, hosts):
    """Check HOSTS (else all): only what is not fine, or one host's detail."""
    report = ctx.obj.health.check(ctx.obj.run, hosts, time.time)
    summary, *rest = report.lines
    click.secho(summary, fg="green" if report.is_fine else "red")
    for line in rest:
        click.echo(line)
    if not report.is_fine:
        ctx.exit(1)
