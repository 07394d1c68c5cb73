"""!plans: what waits for consent."""

import click

from ircops import requires


@requires("viewer")
@click.command()
@click.pass_obj
def plans(ops):
    """What waits for consent, who asked, and for how long still."""
    waiting = ops.on_loop(lambda: [told(each, ops.loop.time()) for each in ops.approvals.waiting])
    click.echo("\n".join(waiting) or "nothing waits for consent")


def told(waiting, now):
    minutes = max(waiting.ends - now, 0) / 60
    given = f"; yes from {', '.join(waiting.approvers)}" if waiting.approvers else ""
    return f"{waiting.user}: {waiting.wants}{given}; {minutes:.0f} min left"
