"""!unlock: give back a lock that was held by hand."""

import click

from ircops import requires


@requires("operator")
@click.command()
@click.option("--steal", is_flag=True, help="also if somebody else holds it")
@click.argument("name")
@click.pass_obj
def unlock(ops, name, steal):
    """Give back the lock NAME: what waits for it goes on. --steal another's."""
    call = ops.call
    place = f"{call.sender.network}/{call.where}" if call.where else ""

    async def release():  # what waits is counted before it begins
        waiting = ops.turns.queued(name)
        return await ops.locks.release(name, ops.user.name, place, steal), waiting

    before, waiting = ops.on_loop(release)
    was = "" if before.holder == ops.user.name else f", which {before.told()} had"
    go = f"; {len(waiting)} waited for it" if waiting else ""
    click.echo(f"{name} is unlocked{was}{go}")
