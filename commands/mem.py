"""!mem: memory and swap in use."""

import click

from ircops import HOSTS, requires, run, show

MEMORY = r"""awk '
    { kib[$1] = $2 }
    function share(total, free) {
        return sprintf("%.0f %% of %.1f GiB", 100 * (1 - free / total), total / 1048576)
    }
    END {
        printf "memory %s", share(kib["MemTotal:"], kib["MemAvailable:"])
        if (kib["SwapTotal:"]) printf ", swap %s", share(kib["SwapTotal:"], kib["SwapFree:"])
        print ""
    }
' /proc/meminfo"""


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS)
def mem(hosts):
    """Memory and swap in use on HOSTS; caches count as free."""
    show(run(MEMORY, hosts, fast=True))
