"""!disk: how full filesystems are."""

import click

from ircops import HOSTS, requires, run, show

# Storage only, and each device once: no tmpfs, no container layers, no images that are full by nature.
DISKS = r"""df -hP | awk '
    NR == 1 || seen[$1, $2]++ { next }
    $6 != "/" && $1 ~ /^(dev|devtmpfs|tmpfs|udev|run|shm|none|overlay|efivarfs)$/ { next }
    $1 ~ /^\/dev\/(loop|sr)[0-9]/ || $6 ~ /^\/(dev|proc|sys|run)\// { next }
    { printf "%s%s %d %% of %s", comma, $6, $5, $2; comma = ", " }
    END { print "" }
'"""


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS)
def disk(hosts):
    """How full the filesystems of HOSTS are."""
    show(run(DISKS, hosts, fast=True))
