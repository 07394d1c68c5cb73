"""!load: how busy hosts are."""

import click

from ircops import HOSTS, requires, run, show

LOAD = r"""awk -v cores="$(nproc)" '{
    printf "load %s %s %s on %d cores (%.0f %%)\n", $1, $2, $3, cores, 100 * $1 / cores
}' /proc/loadavg"""


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS)
def load(hosts):
    """Load of HOSTS over 1, 5 and 15 minutes; percent is of all cores, now."""
    show(run(LOAD, hosts, fast=True))
