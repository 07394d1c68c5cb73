"""!changes: what changed things lately."""

import itertools
import re
from datetime import UTC, datetime

import click
from ircops.commands.record import ago

from ircops import requires

MOST = 20_000  # entries of the record that are looked at, the newest


@requires("viewer")
@click.command()
@click.argument("words", nargs=-1, metavar="[SPAN] [HOSTS]")
@click.pass_context
def changes(ctx, words):
    """What changed things in the last SPAN (1h), on HOSTS: the newest last."""
    ops = ctx.obj
    spans = [word for word in words if re.fullmatch(r"\d+[smhd]", word)]
    named = [word for word in words if word not in spans]
    if len(spans) > 1:
        raise click.UsageError("one time span is enough: changes 2h @web", ctx)
    hosts = ops.inventory.resolve(",".join(named)) if named else ()
    span = spans[0] if spans else "1h"
    entries = ops.record.entries(since=ago(ctx, None, span), last=MOST)
    found = ops.changes(entries, hosts)
    now = datetime.now(UTC)
    if len(entries) == MOST:
        click.echo(
            f"only since {entries[0].at.astimezone():%Y-%m-%d %H:%M}: that is {MOST} entries"
        )
    if named and (others := sum(not change.hosts for change in ops.changes(entries))):
        click.echo(
            f"besides {others} that reached no host, such as locks and settings: changes {span}"
        )
    for line in in_order(ops, [change.told(now) for change in found]):
        click.echo(line)
    if not found:
        on = f" on {','.join(named)}" if named else ""
        click.echo(f"nothing was changed in the last {span}{on}")


def in_order(ops, lines):
    """In a channel the newest come first, with the newest of them last; what was before is for `more`."""
    if ops.call.sender.door != "irc":
        return lines
    size = max(ops.settings.channel(ops.call.where).lines - 1, 1)
    ends = range(len(lines), 0, -size)
    return itertools.chain.from_iterable(lines[max(end - size, 0) : end] for end in ends)
