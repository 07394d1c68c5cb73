"""!service: what systemd runs on hosts."""

import re

import click

from ircops import HOSTS, in_waves, requires, run, show

# $1 is a verb of systemctl, $2 the unit. systemctl says that an action was taken; a moment later we look
# whether it held. A unit that is not meant to stay (Type=oneshot) is fine when it ended well.
ACT = r"""
command -v systemctl >/dev/null || { echo "no systemd here" >&2; exit 1; }
as_root() {
    if [ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null; then "$@"; else sudo -n "$@"; fi
}
read_state() {
    said=$(systemctl show -p LoadState -p ActiveState -p SubState -p Type -p Result -- "$2")
    value() { echo "$said" | sed -n "s/^$1=//p"; }
    active=$(value ActiveState) sub=$(value SubState) result=$(value Result)
}
as_root systemctl "$1" -- "$2" || exit
for try in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    read_state "$@"
    case $active in *ing) [ "$sub" = auto-restart ] && break ;; *) break ;; esac
done
echo "$2 is $active ($sub)"
case $1:$active:$(value Type):$result in
stop:inactive:* | stop:failed:* | [!s]*:active:* | start:active:* | *:inactive:oneshot:success) ;;
*) journalctl -q -n 1 -o cat --no-pager -u "$2" >&2; exit 1 ;;
esac
"""

STATUS = r"""
command -v systemctl >/dev/null || { echo "no systemd here" >&2; exit 1; }
said=$(systemctl show -p LoadState -p ActiveState -p SubState -p UnitFileState \
    -p StateChangeTimestampMonotonic -- "$1") || exit
read -r up _ </proc/uptime
echo "$said" | awk -F= -v unit="$1" -v up="$up" '
    { is[$1] = $2 }
    function age(seconds) {
        if (seconds >= 172800) return int(seconds / 86400) " d"
        if (seconds >= 7200) return int(seconds / 3600) " h"
        return int(seconds / 60) " min"
    }
    END {
        if (is["LoadState"] == "not-found") { print "no unit " unit; exit 1 }
        since = is["StateChangeTimestampMonotonic"] / 1000000
        for_ = since ? " for " age(up - since) : ""
        kept = is["UnitFileState"] ? ", " is["UnitFileState"] : ""
        printf "%s is %s (%s)%s%s\n", unit, is["ActiveState"], is["SubState"], for_, kept
    }'
"""


class Unit(click.ParamType):
    """One unit: systemctl would take `*` for many."""

    name = "unit"

    def convert(self, value, param, ctx):
        if not re.fullmatch(r"[A-Za-z0-9_@][A-Za-z0-9:_.\\@-]*", value):
            self.fail(f"{value!r} is not the name of one unit, such as nginx or app@1", param, ctx)
        return value


@requires("operator")
@click.group()
def service():
    """Look after service NAME on HOSTS, by systemd."""


@service.command()
@requires("viewer")
@click.argument("name", type=Unit())
@click.argument("hosts", type=HOSTS)
def status(name, hosts):
    """How NAME is on HOSTS, for how long, and whether it starts at boot."""
    show(run(["sh", "-c", STATUS, "status", name], hosts, fast=True))


@service.command()
@requires("operator")
@click.argument("name", type=Unit())
@click.argument("hosts", type=HOSTS)
@click.option("-n", "--lines", type=click.IntRange(1, 1000), default=5, help="how many")
@click.pass_context
def logs(ctx, name, hosts, lines):
    """The last lines that NAME logged on HOSTS; `logs HOSTS -u NAME` can more."""
    ctx.invoke(ctx.find_root().command.commands["logs"], hosts=hosts, unit=name, lines=lines)


def action(verb, doing, confirm=False):
    """Declare `service VERB NAME HOSTS`."""

    @service.command(verb, help=f"{verb.capitalize()} NAME on HOSTS, and look whether that held.")
    @requires("operator", confirm=confirm, timeout=0)
    @in_waves()
    @click.argument("name", type=Unit())
    @click.argument("hosts", type=HOSTS)
    def act(waves, name, hosts):
        command = ["sh", "-c", ACT, "service", verb, name]
        show(run(command, hosts, doing=f"{doing} {name}", **waves))


action("start", "starting")
action("stop", "stopping", confirm=True)
action("restart", "restarting", confirm=True)
action("reload", "reloading")
