"""!uptime: since when hosts are up."""

import click

from ircops import HOSTS, requires, run, show

# coarse on purpose: hosts that booted on one day fold into one line
UPTIME = r"""awk '{
    days = int($1 / 86400); hours = int($1 / 3600); minutes = int($1 / 60)
    if (days > 1) print "up " days " d"
    else if (hours > 1) print "up " hours " h"
    else print "up " minutes " min"
}' /proc/uptime"""


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS)
def uptime(hosts):
    """How long HOSTS have been up."""
    show(run(UPTIME, hosts, fast=True))
