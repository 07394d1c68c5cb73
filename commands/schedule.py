"""!schedule: what runs by the clock."""

import click

from ircops import requires


@requires("viewer")
@click.group(invoke_without_command=True)
@click.pass_context
def schedule(ctx):
    """What runs by the clock; and to run, pause or resume one of it."""
    if ctx.invoked_subcommand:
        return
    for planned in ctx.obj.on_loop(ctx.obj.schedule.list):
        click.echo(line(planned))
    if not ctx.obj.settings.schedules:
        click.echo("nothing is scheduled; add a [schedule NAME] to ircops.ini")


@requires("operator")
@schedule.command("run")
@click.argument("name")
@click.pass_obj
def run_(ops, name):
    """Run the schedule NAME now, too; its answer goes where it always goes."""
    ops.on_loop(ops.schedule.run_now, name, ops.user)
    click.echo(f"schedule {name} runs now")


@requires("operator")
@schedule.command()
@click.argument("name")
@click.pass_obj
def pause(ops, name):
    """Let the schedule NAME rest until it is resumed, even over a restart."""
    ops.on_loop(ops.schedule.pause, name, ops.user)
    click.echo(f"schedule {name} is paused; schedule resume {name} ends that")


@requires("operator")
@schedule.command()
@click.argument("name")
@click.pass_obj
def resume(ops, name):
    """End the pause of the schedule NAME; what it missed stays undone."""
    ops.on_loop(ops.schedule.resume, name)
    click.echo(f"schedule {name} goes on")


def line(planned):
    """One schedule: `report: health @all at 0 9 * * mon-fri UTC · next Mon 09:00 · last Fri 09:00`."""
    where = f" in {' '.join(planned.into)}" if planned.into else ""
    state = [
        "running" if planned.is_running else "",
        f"paused by {planned.paused_by}" if planned.paused_by else "",
        f"next {planned.next_run:%a %H:%M}" if planned.next_run else "",
        f"last {planned.last_run:%a %H:%M}" if planned.last_run else "",
    ]
    what = f"{planned.name}: {planned.line} at {planned.at} {planned.timezone}{where}"
    return " · ".join(filter(None, [what, *state]))
