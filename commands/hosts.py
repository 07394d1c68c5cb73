"""!hosts: which hosts and groups there are."""

import click

from ircops import HOSTS, requires


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS, required=False)
@click.pass_obj
def hosts(ops, hosts):
    """All hosts and groups, or which of them HOSTS are."""
    named = hosts or ops.inventory.all
    if not named:
        raise click.ClickException("no hosts yet: name them in [hosts] of ircops.ini")
    click.echo(f"{len(named)} host{'s' * (len(named) > 1)}: {named}")
    groups = {name: named & group for name, group in ops.inventory.groups.items()}
    inside = [f"@{name} ({len(part)}): {part}" for name, part in groups.items() if part]
    if inside:
        click.echo(" · ".join(inside))
