"""!hosts: which hosts and groups there are, and how one is reached."""

import click

from ircops import HOSTS, requires


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS, required=False)
@click.pass_obj
def hosts(ops, hosts):
    """Which hosts and groups there are; of one host, how it is reached."""
    inventory = ops.inventory
    named = hosts or inventory.all
    if named:
        click.echo(f"{len(named)} host{'s' * (len(named) > 1)}: {named}")
    if hosts and len(hosts) == 1:
        (name,) = hosts
        variables = inventory.variables(name).items()
        click.echo(" ".join([str(inventory.host(name)), *(f"{k}={v}" for k, v in variables)]))
    groups = {name: named & group for name, group in inventory.groups.items()}
    inside = [f"@{name} ({len(part)}): {part}" for name, part in groups.items() if part]
    if inside:
        click.echo(" · ".join(inside))
    for fault in inventory.faults:
        click.echo(f"kept as it was: {fault}")
    if not named:
        raise click.ClickException("no hosts yet: name them in [hosts] of ircops.ini")
