"""A report as a table with colours, for a terminal: every host a line, what is wrong in red."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ircops.ops.health import Condition, duration
from ircops.ops.reports import Report

HEADS = ("HOST", "LOAD", "MEM", "SWAP", "DISK", "UP", "STATE")
# the keys of faults that turn a cell red, by column
KEYS = {"LOAD": "load", "MEM": "memory", "SWAP": "swap", "DISK": "disk", "UP": "uptime"}
WIDEST = 60  # characters of what is wrong


def table(report: Report) -> list[str]:
    """The lines of the table, then those of the report that are about no host alone."""
    quiet = dict(report.silenced)
    rows = [_row(one, quiet.get(one.host, "")) for one in report.conditions]
    widths = [max(len(cell) for cell in column) for column in zip(HEADS, *rows, strict=True)]
    lines = [click.style(_line(HEADS, widths), bold=True)]
    for one, row in zip(report.conditions, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1]
        lines.append("  ".join(_coloured(one, cells, one.host in quiet)))
    rest = report.lines if len(report.conditions) > 1 else []
    return [*lines, *(line for line in rest if line.startswith(("health:", "over ", "soon:")))]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def _row(one: Condition, silenced: str) -> tuple[str, ...]:
    vitals = one.vitals
    wrong = ", ".join(map(str, one.wrong))
    state = f"maintenance: {silenced}" if silenced else wrong or "ok"
    state = state if len(state) <= WIDEST else state[: WIDEST - 2] + " …"
    if vitals is None:
        return (one.host, "-", "-", "-", "-", "-", state)
    fullest = max(vitals.disks, key=lambda disk: disk.used, default=None)
    return (
        one.host,
        f"{vitals.load[0]:.2f}/{vitals.cores}" if vitals.load else "-",
        f"{vitals.memory:.0f} %" if vitals.memory is not None else "-",
        f"{vitals.swap:.0f} %" if vitals.swap is not None else "-",
        str(fullest) if fullest else "-",
        duration(vitals.uptime) if vitals.uptime is not None else "-",
        state,
    )


def _coloured(one: Condition, cells: list[str], is_silenced: bool) -> Iterator[str]:
    keys = {fault.key.partition(":")[0] for fault in one.faults}
    for head, cell in zip(HEADS, cells, strict=True):
        if is_silenced:
            yield click.style(cell, dim=True)
        elif head == "STATE":
            yield click.style(cell, fg="green" if one.is_fine else "red")
        else:
            yield click.style(cell, fg="red") if KEYS.get(head) in keys else cell
