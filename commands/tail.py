"""!tail: the last lines of a job."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("host", default="")
@click.option("-n", "--lines", type=click.IntRange(min=1), default=3, help="how many")
@click.pass_obj
def tail(ops, number, host, lines):
    """The last lines that job NUMBER, or a HOST of it, has put out."""
    job = ops.on_loop(ops.jobs.find, number)
    is_mine = job.user.name == ops.user.name
    if not (job.where or is_mine or str(ops.user.role) in ("operator", "admin")):
        raise click.ClickException(
            f"job {number} was called in private; its output is for {job.user} and operators"
        )
    if said := job.tail(lines, host):
        click.echo("\n".join(said))
        return
    of = f" that was kept of {host}" if host else ""
    raise click.ClickException(f"job {number} has put out nothing{of}")
