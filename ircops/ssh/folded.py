"""Many results in few lines: equal answers under their node set, failures by kind, numbers summed up."""

from __future__ import annotations

import re
import statistics
from collections.abc import Collection, Iterable
from typing import Any

from ircops.call import Result
from ircops.ssh.nodes import fold

NAMED = 60  # characters of a node set that is waited for; a longer one is counted

_PIDS = re.compile(r" \(pid [\d ]+\)")
_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*(\D{0,8}?)\s*")  # with a unit: 93 %, 1.5 GiB


def counted(hosts: Any) -> str:
    """`12 hosts: web[1-12]`; one is only named. Of a NodeSet."""
    return str(hosts) if len(hosts) == 1 else f"{len(hosts)} hosts: {hosts}"


def many(names: Collection[str]) -> str:
    """`web1`, or `12 hosts`."""
    return next(iter(names)) if len(names) == 1 else f"{len(names)} hosts"


def named(names: Collection[str]) -> str:
    """The node set if it is short, else how many there are."""
    text = fold(names)
    return text if len(text) <= NAMED else many(names)


def folded(results: Iterable[Result]) -> list[str]:
    """A paragraph for each answer, with the hosts that gave it."""
    alike: dict[str, list[str]] = {}
    for result in results:
        alike.setdefault(result.text, []).append(result.host)
    return [_paragraph(fold(hosts), text) for text, hosts in alike.items()]


def by_kind(failed: list[Result]) -> list[str]:
    """Those that said something as answers are; then the others, in one line if they are of several kinds."""
    kinds: dict[str, list[Result]] = {}
    for result in failed:
        if not result.stdout and not result.stderr:
            kinds.setdefault(_PIDS.sub("", result.text), []).append(result)
    told = {
        (alike[0].text if len(alike) == 1 else kind): [result.host for result in alike]
        for kind, alike in kinds.items()
    }
    lines = folded(result for result in failed if result.stdout or result.stderr)
    if len(told) == 1:
        return [*lines, *(f"{fold(hosts)}: {kind}" for kind, hosts in told.items())]
    most_first = sorted(told.items(), key=lambda item: -len(item[1]))
    joined = " · ".join(f"{len(hosts)} {kind}: {fold(hosts)}" for kind, hosts in most_first)
    return [*lines, joined] if joined else lines


def summed(answers: Iterable[Result]) -> str:
    """`40 hosts: 1 (web3) to 7 (web9), median 2, sum 93`; "" if there are other things than numbers of one unit."""
    numbers = {result.host: _NUMBER.fullmatch(result.text) for result in answers}
    units = {found[2] if found else None for found in numbers.values()}
    if len(units) != 1 or None in units:
        return ""
    values = {host: float(found[1]) for host, found in numbers.items() if found}
    unit = f" {units.pop()}".rstrip()
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return (
        f"{many(values)}: {values[least]:.10g} ({least}) to {values[most]:.10g}{unit} ({most}), "
        f"median {statistics.median(values.values()):.10g}, sum {sum(values.values()):.10g}"
    )


def _paragraph(hosts: str, text: str) -> str:
    first, *more = text.split("\n")
    if not more:
        return f"{hosts}: {first or 'ok'}"
    return "\n  ".join((f"{hosts}:", first, *more))
