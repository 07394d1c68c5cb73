"""!top: who uses the processors and the memory."""

import click

from ircops import HOSTS, requires, run, show

# Two looks at /proc, a second apart, as the `ps` of busybox knows neither; percent is of one core.
# proc(5), /proc/pid/stat: 14, 15 are ticks, 100 a second; 24 is pages; the name may hold anything.
TOP = r"""page=$(getconf PAGESIZE 2>/dev/null || echo 4096)
{ cat /proc/[0-9]*/stat; echo; sleep 1; cat /proc/[0-9]*/stat; } 2>/dev/null | awk -v page="$page" '
    $0 == "" { second = 1; next }
    !match($0, /\) [A-Z] [^)]*$/) { next }
    {
        split(substr($0, RSTART + 2), field, " ")
        id = $1 + 0; ticks = field[12] + field[13]
        if (!second) { before[id] = ticks; next }
        if (!(id in before)) next
        name[id] = substr($0, index($0, "(") + 1, RSTART - index($0, "(") - 1)
        cpu[id] = ticks - before[id]
        memory[id] = field[22] * page / 1048576
    }
    function most(of, unit,    round, id, best, line, comma) {
        for (round = 0; round < 3; round++) {
            best = ""
            for (id in of) if (of[id] >= 1 && (best == "" || of[id] > of[best])) best = id
            if (best == "") break
            line = line comma sprintf("%s[%d] %.0f %s", name[best], best, of[best], unit)
            comma = ", "
            delete of[best]
        }
        return line ? line : "idle"
    }
    END { printf "cpu: %s · memory: %s\n", most(cpu, "%"), most(memory, "MiB") }
'"""


@requires("viewer")
@click.command()
@click.argument("hosts", type=HOSTS)
def top(hosts):
    """The busiest processes on HOSTS, by CPU (of one core) and by memory."""
    show(run(TOP, hosts, fast=True))
