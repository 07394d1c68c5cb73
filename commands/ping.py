"""!ping: am I there, and are hosts?"""

import statistics

import click

from ircops import HOSTS, requires, run, show

NAMED = 12  # hosts; of more only the fastest and the slowest are


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS, required=False)
@click.pass_obj
def ping(ops, hosts):
    """Pong, or how fast HOSTS answer over SSH, once connected."""
    if not hosts:
        networks = ops.on_loop(ops.status)
        click.echo(" · ".join(["pong", *(f"{name}: {how}" for name, how in networks.items())]))
        return
    results = run("true", hosts, fast=True)
    times = {result.host: 1000 * result.seconds for result in results if result.ok}
    if len(times) > NAMED:
        fast, slow = min(times, key=times.get), max(times, key=times.get)
        span = f"{times[fast]:.0f} ms ({fast}) to {times[slow]:.0f} ms ({slow})"
        told = [f"{len(times)} hosts: {span}, median {statistics.median(times.values()):.0f} ms"]
    else:
        told = [" · ".join(f"{host} {ms:.0f} ms" for host, ms in times.items())] if times else []
    show(results, "\n".join([*told, *results.faults]))
