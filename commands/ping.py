"""!ping: am I there, and are hosts?"""

import click

from ircops import HOSTS, requires, run


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS, required=False)
@click.pass_context
def ping(ctx, hosts):
    """Pong, or how fast HOSTS answer over SSH, once connected."""
    if not hosts:
        networks = ctx.obj.on_loop(ctx.obj.status)
        click.echo(" · ".join(["pong", *(f"{name}: {how}" for name, how in networks.items())]))
        return
    results = run("true", hosts, fast=True)
    times = [f"{result.host} {1000 * result.seconds:.0f} ms" for result in results if result.ok]
    if times:
        click.echo(" · ".join(times))
    for result in results.failed:
        click.echo(f"{result.host}: {result.text}")
    if results.failed:
        ctx.exit(1)
