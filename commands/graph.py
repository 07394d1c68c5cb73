"""!graph: what was measured on hosts, as a picture."""

import click

from ircops import HOSTS, requires


@requires("viewer")
@click.command()
@click.argument("measure")
@click.argument("hosts", type=HOSTS)
@click.argument("span", default="24h")
@click.pass_obj
def graph(ops, measure, hosts, span):
    """Draw MEASURE (load, disk:/var …) of HOSTS over SPAN: 90m, 24h, 7d."""
    is_terminal = ops.call.sender.door == "console"  # it shows a drawing as it is meant
    try:
        lines = ops.graphs.answer(hosts, measure, span, None if is_terminal else ops.links.to)
    except ValueError as wrong:
        raise click.BadParameter(f"{span}: {wrong}", param_hint="SPAN") from None
    for line in lines:
        click.echo(line)
