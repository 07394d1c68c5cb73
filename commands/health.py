"""!health: are hosts fine, and what is not."""

import click

from ircops import HOSTS, requires

PAGE = 7 * 86400  # seconds that the page of a report can be seen


@requires("viewer", timeout=120)
@click.command()
@click.option("--full", is_flag=True, help="also updates and programs, as for one host")
@click.argument("hosts", type=HOSTS, default="@all")
@click.pass_context
def health(ctx, hosts, full):
    """Check HOSTS (else all): only what is not fine, or one host's detail."""
    ops = ctx.obj
    sender, where = ops.call.sender, ops.call.where
    is_asked = sender.door != "schedule"
    report = ops.inspection.report(
        hosts,
        ops.run,
        f"{where or sender.name} {hosts}" if is_asked else f"schedule {sender.name} {hosts}",
        soon=ops.settings.health.soon,
        is_full=full or len(hosts) == 1,
    )
    if is_asked or is_news(report, ops.settings.channel(where).verbosity):
        summary, *rest = lines(ops, report)
        colour = "green" if report.is_fine else "red"
        click.echo(summary if summary.startswith("\x1b") else click.style(summary, fg=colour))
        for line in rest:
            click.echo(line)
    else:
        ops.say_nothing()
    if not report.is_fine:
        ctx.exit(1)


def is_news(report, verbosity):
    """Whether a channel of this verbosity hears of it unasked."""
    if verbosity == "problems":
        return not report.is_fine or bool(report.soon)
    return verbosity == "all" or report.has_changed


def lines(ops, report):
    """What is said of it: a table at a terminal, else the lines, the first with the address of its page if there is one."""
    if ops.call.sender.door == "console" and len(report.conditions) > 1:
        return ops.reports.table(report)
    summary, *rest = report.lines
    links = getattr(ops, "links", None)
    page = links.to(f"health/{report.number}", PAGE) if links and rest else ""
    return [f"{summary} · {page}" if page else summary, *rest]
