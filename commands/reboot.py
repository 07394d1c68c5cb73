"""!reboot: restart hosts, and see that they did."""

import re
import time
from dataclasses import replace

import click

from ircops import HOSTS, in_waves, requires, show

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"  # a new one for each boot: random(4)
OFTEN = 2  # seconds between looks whether it is back
REBOOT = r"""
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null; then reboot; else sudo -n reboot; fi
"""


@requires("operator", confirm=True, timeout=0)
@click.command()
@click.option("-t", "--timeout", type=click.IntRange(min=1), default=600, help="seconds for each")
@in_waves(batch="10%", max_failures="1")
@click.argument("hosts", type=HOSTS)
@click.pass_obj
def reboot(ops, timeout, waves, hosts):
    """Reboot HOSTS, a tenth at a time, as long as each comes back."""
    show(ops.each(restart, hosts, doing="rebooting", timeout=timeout, **waves))


def restart(on):
    """Reboot one host: it is back when it tells another boot id than before."""
    before = on(BOOT_ID, timeout=30)
    if not is_boot_id(before):
        return before if not before.ok else replace(before, exit_code=1)
    began = time.monotonic()
    asked = on(REBOOT, timeout=30)
    if asked.exit_code:  # none: the connection went first
        return asked
    while True:
        on.wait(OFTEN)
        now = on(BOOT_ID, timeout=5)
        seconds = time.monotonic() - began
        if is_boot_id(now) and now.stdout != before.stdout:
            return replace(now, stdout=f"back after {seconds:.0f} s", seconds=seconds)
        if on.left() < 2 * OFTEN:
            what = "still the same boot" if now.ok else f"not back: {now.text}"
            return replace(now, stdout="", error=f"{what}, {seconds:.0f} s after it was told to")


def is_boot_id(result):
    return bool(re.fullmatch(r"[0-9a-f-]{36}\n", result.stdout))
