"""!record: who did what, where and when, and how it ended."""

import re
from datetime import UTC, datetime, timedelta

import click

from ircops import clock_time, requires

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def ago(ctx, param, value):
    """The moment that lies a time span back."""
    if value is None:
        return None
    if not (span := re.fullmatch(r"(\d{1,4})([smhd])", value)):
        raise click.BadParameter("a time span is written 90s, 30m, 2h or 7d")
    return datetime.now(UTC) - timedelta(seconds=int(span[1]) * SECONDS[span[2]])


@requires("viewer")
@click.command()
@click.option("--user", default="", help="only this account's")
@click.option("--host", default="", help="only what reached this one")
@click.option("--command", default="", help="only this")
@click.option("--since", callback=ago, metavar="SPAN", help="only from the last 1h, 7d …")
@click.option("--last", type=click.IntRange(1, 200), default=5, help="how many")
@click.option("--head", is_flag=True, help="only the newest entry's number and hash, to be kept")
@click.argument("number", type=click.IntRange(1, 10**9), required=False)
@click.pass_obj
def record(ops, user, host, command, since, last, head, number):
    """What was done: the last calls, or all about call NUMBER."""
    if head:
        click.echo(f"the record's head: {ops.record.head}")
        return
    entries = ops.record.entries(
        user=user,
        host=host,
        command=command,
        since=since,
        call=number,
        last=3 * last + 2,  # a call has two entries, or three, and this one has begun
    )
    # the newest entry of a call says it all; the bot's own news have no number
    newest = {entry.call or -entry.seq: entry for entry in entries}
    newest.pop(ops.job.number, None)
    found = list(newest.values())[-last:]
    for entry in found:
        click.echo(line(entry))
    if number and found:
        click.echo(circumstances(found[-1]))
    if not found:
        click.echo("nothing on the record fits")


def line(entry):
    """One entry: `#42 20:17 alice load @web: ok (0.3 s)`."""
    at = clock_time(entry.at)
    if entry.call is None:
        news = [at, entry.event, entry.network, entry.line, entry.outcome]
        return " ".join(filter(None, news))
    seconds = f" ({entry.seconds:.1f} s)" if entry.seconds is not None else ""
    outcome = entry.outcome or "has not ended"
    return f"#{entry.call} {at} {entry.user or entry.mask} {entry.line}: {outcome}{seconds}"


def circumstances(entry):
    """Who that was by what proof, where, on what, and who agreed."""
    return " · ".join(
        filter(
            None,
            [
                f"{entry.role or 'nobody'} {entry.mask}",
                f"account {entry.account} by {entry.evidence}" if entry.account else "no account",
                f"in {entry.network} {entry.channel}"
                if entry.channel
                else f"in private, {entry.door}",
                f"on {entry.hosts}" if entry.hosts else "",
                f"approved by {', '.join(entry.approvers)}" if entry.approvers else "",
                f"{entry.lines} lines, SHA-256 {entry.digest[:16]}…" if entry.digest else "",
            ],
        )
    )
