"""!run: any command, on any hosts."""

import click

import ircops
from ircops import HOSTS, in_waves, requires, show


# No limit on the whole: each host has its own.
@requires("admin", timeout=0)
@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-t", "--timeout", type=click.IntRange(min=1), help="seconds a host may take")
@click.option("--sum", "is_summed", is_flag=True, help="numbers as least, most, median, sum")
@click.option("--detach", is_flag=True, help="it goes on there whatever becomes of the bot")
@in_waves()
@click.argument("hosts", type=HOSTS)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(timeout, is_summed, detach, waves, hosts, command):
    """Run COMMAND on HOSTS; one quoted word is a shell line: 'ps | wc -l'.

    Of several words nothing is special to the shell there: they arrive as they were typed here.
    """
    line = command[0] if len(command) == 1 else list(command)
    doing = "running it" if len(hosts) > 1 else ""
    results = ircops.run(line, hosts, doing=doing, timeout=timeout, detach=detach, **waves)
    show(results, results.summary if is_summed else "")
