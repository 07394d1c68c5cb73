"""!server: machines spun up, looked after, and destroyed again."""

import re
from datetime import UTC, datetime

import click

from ircops import HOSTS, requires

SECONDS = {"m": 60, "h": 3600, "d": 86400}
ONE_EACH = "server:{hosts}"  # the lock: nobody else does anything to these machines meanwhile


def span(ctx, param, value):
    """Seconds of 30m, 8h or 2d."""
    if value is None:
        return 0.0
    if not (said := re.fullmatch(r"(\d{1,4})([mhd])", value)) or not int(said[1]):
        raise click.BadParameter("a time span is written 30m, 8h or 2d")
    return float(int(said[1]) * SECONDS[said[2]])


def ids(ops, arguments):
    """What consent is bound to: these very machines, whatever bears their names later."""
    machines = ops.servers.doomed(ops, arguments["hosts"])
    one = "id" if len(machines) == 1 else ""
    return {one or machine.name: machine.id or machine.label for machine in machines}


@requires("viewer", timeout=120)
@click.group(invoke_without_command=True)
@click.pass_context
def server(ctx):
    """Machines: make them, list them, stop them, destroy them."""
    if ctx.invoked_subcommand is None:
        tell(ctx.obj)


@requires("operator", timeout=0)
@server.command()
@click.option("--count", type=click.IntRange(1, 50), default=1, metavar="N", help="so many")
@click.option("--size", default="", metavar="NAME", help="one of its provider's sizes")
@click.option("--image", default="", metavar="NAME", help="one of its provider's images")
@click.option("--on", default="", metavar="PROVIDER", help="where; else the first there is")
@click.option("--for", "seconds", callback=span, metavar="SPAN", help="destroyed after 30m, 8h …")
@click.argument("name")
@click.pass_context
def create(ctx, count, size, image, on, seconds, name):
    """Make machines NAME1, NAME2 …, or NAME if it ends in a number."""
    ops = ctx.obj
    failed = 0
    for made in ops.servers.create(ops, name, count, on, size, image, seconds):
        failed += bool(made.error)
        colour = "red" if made.error else "yellow" if made.health else "green"
        try:
            click.secho(str(made), fg=colour)
        except (
            click.ClickException
        ):  # the job was stopped, and what remains is to be known all the same
            ops.job.report(str(made))
    ops.call.stop.check()
    if failed:
        ctx.exit(1)


@requires("viewer", timeout=120)
@server.command("list")
@click.pass_obj
def list_(ops):
    """All machines, and what is not as it should be."""
    tell(ops)


@requires("viewer", timeout=120)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.pass_obj
def show(ops, hosts):
    """All that is known of machines."""
    ops.servers.ours(hosts)  # refuses what is none
    for standing in ops.servers.standings(ops.run, set(hosts)):
        machine = standing.machine
        how = "adopted" if machine.is_adopted else "made"
        click.echo(line(standing))
        click.echo(
            f"{how} {machine.made_at:%a %d %b %H:%M} UTC by {machine.by} (job {machine.job})"
            f" · group @{machine.group} · user {machine.user}"
        )
        key = machine.host_key or "in known_hosts"
        click.echo(f"id {machine.id or 'none'} · label {machine.label} · host key {key}")


@requires("operator", timeout=0, lock=ONE_EACH)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.pass_context
def start(ctx, hosts):
    """Start machines, and wait until they answer."""
    each(ctx, hosts, lambda name: ctx.obj.servers.start(ctx.obj, name))


@requires("operator", confirm=True, timeout=0, lock=ONE_EACH)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.pass_context
def stop(ctx, hosts):
    """Stop machines; start brings them back."""
    each(ctx, hosts, lambda name: ctx.obj.servers.stop(ctx.obj, name))


@requires("operator", confirm=True, timeout=0, lock=ONE_EACH)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.pass_context
def reboot(ctx, hosts):
    """Have machines restarted by their provider, also those that do not answer."""
    each(ctx, hosts, lambda name: ctx.obj.servers.reboot(ctx.obj, name))


@requires("operator", approvals=1, timeout=0, lock=ONE_EACH, facts=ids)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.pass_context
def destroy(ctx, hosts):
    """Destroy machines for good, with all that is on them."""
    ops = ctx.obj
    machines = {machine.name: machine for machine in ops.servers.doomed(ops, hosts)}
    each(ctx, hosts, lambda name: ops.servers.destroy(ops.run, machines[name]))


@requires("operator", confirm=True, timeout=0, lock=ONE_EACH)
@server.command()
@click.argument("hosts", type=HOSTS)
@click.argument("size")
@click.pass_context
def resize(ctx, hosts, size):
    """Give machines another size, where their provider can."""
    each(ctx, hosts, lambda name: ctx.obj.servers.resize(ctx.obj, name, size))


@requires("operator")
@server.command()
@click.argument("hosts", type=HOSTS)
@click.argument("seconds", metavar="SPAN", callback=span)
@click.pass_context
def extend(ctx, hosts, seconds):
    """Let machines live longer by 30m, 4h, 2d …"""

    def longer(name):
        return f"{name}: until {ctx.obj.servers.extend(name, seconds).expires_at:%a %H:%M} UTC"

    each(ctx, hosts, longer)


@requires("admin", timeout=120)
@server.command()
@click.option("--on", default="", metavar="PROVIDER", help="where it is; else the first there is")
@click.option("--id", "number", default="", help="its id there, where its name is another one")
@click.argument("name")
@click.pass_obj
def adopt(ops, on, number, name):
    """Take NAME, which server did not make, for one of its machines."""
    click.echo(ops.servers.adopt(ops, name, on, number))


def each(ctx, hosts, do):
    """Do it to one machine after the other, and say what came of each; it has failed if one has."""
    failed = False
    for name in hosts:
        try:
            click.echo(do(name))
        except click.ClickException as error:
            ctx.obj.call.stop.check()
            said = error.format_message()
            click.secho(said if said.startswith(name) else f"{name}: {said}", fg="red")
            failed = True
    if failed:
        ctx.exit(1)


def tell(ops):
    """A line for each machine; what needs somebody's attention in red."""
    standings = ops.servers.standings(ops.run)
    for standing in standings:
        click.secho(line(standing), fg="red" if standing.drift else None)
    if not standings:
        click.echo("no machines; server create NAME makes one")


def line(standing):
    """`web1: running at 10.0.0.1:2205 · lab small debian · 7 h left`."""
    machine = standing.machine
    if machine is None:
        about = standing.name or standing.provider
        return f"{about}: {standing.drift}"
    is_there = standing.state in ("running", "stopped") or not standing.drift
    state = standing.state + (f" at {machine.where}" if machine.address else "")
    parts = [
        f"{machine.name}: {state if is_there else standing.drift}",
        " ".join(filter(None, [machine.provider, machine.size, machine.image])),
        left(machine.expires_at),
        standing.drift if is_there else "",
    ]
    return " · ".join(filter(None, parts))


def left(until):
    """`7 h left`; "" for what has no end."""
    if until is None:
        return ""
    minutes = max(0, round((until - datetime.now(UTC)).total_seconds() / 60))
    for unit, length in (("d", 1440), ("h", 60)):
        if minutes >= 2 * length:
            return f"{minutes // length} {unit} left"
    return f"{minutes} min left"
