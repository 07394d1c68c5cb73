"""!logs: what hosts have logged, and what they log now."""

import posixpath
import queue
import time
from dataclasses import replace

import click

from ircops import HOSTS, requires, show

OFTEN = 2  # seconds between looks while we follow
LOOK = 60  # seconds a look may take

# $1 file or unit, $2 its name ("" = the whole journal), $3 lines, $4 pattern, $5 where the last look ended.
# Prints the lines, and after them where this look ended. A file that has shrunk is a new one.
READ = r"""
kind=$1 name=$2 lines=$3 pattern=$4 from=$5
echo | grep -e "$pattern" >/dev/null; [ $? -gt 1 ] && exit 1
pick() { grep -e "$pattern" | tail -n "$lines" | cut -b 1-900; }
if [ "$kind" = file ]; then
    [ -f "$name" ] && [ -r "$name" ] || { echo "cannot read $name" >&2; exit 1; }
    size=$(($(wc -c <"$name")))
    [ "$from" ] || from=$((size > 10000000 ? size - 10000000 : 0))
    [ "$from" -le "$size" ] || from=0
    tail -c "+$((from + 1))" <"$name" | head -c "$((size - from))" | pick
    printf '\n%s' "$size"
    exit
fi
command -v journalctl >/dev/null || { echo "no journal here; name a file: -f /var/log/…" >&2; exit 1; }
set -- --quiet --no-pager --show-cursor --output=short-iso --lines=10000
[ "$from" ] && set -- "$@" "--after-cursor=$from"
[ "$name" ] && set -- "$@" "--unit=$name"
said=$(journalctl "$@") || exit
echo "$said" | sed '/^-- cursor: /d; /^$/d' | pick
end=$(echo "$said" | sed -n 's/^-- cursor: //p')
printf '\n%s' "${end:-$from}"
"""


@requires("operator", timeout=0)
@click.command()
@click.option("-u", "--unit", default="", help="only of this unit of systemd")
@click.option("-f", "--file", default="", help="a file instead of the journal")
@click.option("-n", "--lines", type=click.IntRange(1, 1000), default=20, help="how many")
@click.option("-g", "--grep", "pattern", default="", help="only with this regex in them")
@click.option("--follow", type=click.IntRange(1, 3600), metavar="SECONDS", help="and those to come")
@click.argument("hosts", type=HOSTS)
@click.pass_obj
def logs(ops, hosts, unit="", file="", lines=20, pattern="", follow=0):
    """The last lines that HOSTS logged, in the journal or a file.

    Files outside /var/log are for admins. Of the journal the last 10,000 lines are searched, of a file the last 10 MB.
    """
    if unit and file:
        raise click.UsageError("a unit or a file, not both")
    file = posixpath.normpath(file) if file else ""
    if file and not file.startswith("/var/log/") and str(ops.user.role) != "admin":
        raise click.ClickException("files outside /var/log are for admins; ask one")
    what = ["sh", "-c", READ, "logs", "file" if file else "unit", file or unit, str(lines), pattern]
    if not follow:
        show(ops.each(lambda on: look(on, what, "")[0], hosts, timeout=LOOK))
        return
    heard = queue.SimpleQueue()
    ends = time.monotonic() + follow
    timeout = follow + 2 * LOOK
    results = ops.each(lambda on: watch(on, what, ends, heard), hosts, timeout=timeout)
    tell(ops, heard, len(hosts))
    show(results, "" if results.failed else f"that was {follow} s")


def look(on, what, cursor):
    """What is new since `cursor`, and the next one."""
    result = on([*what, cursor], timeout=LOOK, fast=True)
    text, _, after = result.stdout.rstrip("\n").rpartition("\n")
    return (replace(result, stdout=text), after) if result.ok else (result, cursor)


def watch(on, what, ends, heard):
    """Look again and again until `ends`, in a thread of the host; puts lines into `heard`, None at last."""
    cursor = ""
    try:
        while True:
            result, cursor = look(on, what, cursor)
            if not result.ok:
                return result
            heard.put([f"{on.host}: {line}" for line in result.stdout.splitlines()])
            if time.monotonic() > ends:
                return replace(result, stdout="")
            on.wait(OFTEN)
    finally:
        heard.put(None)


def tell(ops, heard, hosts):
    """Say what is heard until all hosts have ended; beyond the share of an answer, its newest as it goes."""
    share = ops.settings.channel(ops.call.where).lines if ops.call.sender.door == "irc" else None
    said = 0
    while hosts:
        lines = heard.get()
        if lines is None:
            hosts -= 1
            continue
        for line in lines:
            click.echo(line)
        said += len(lines)
        if lines and share is not None and said > share:
            ops.call.reply.progress(lines[-1])
