"""A schedule that may not run its own line, or would ask somebody, is a fault with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ircops import ini
from ircops.bot import check
from ircops.errors import BadConfig

SETTINGS = """
[network net]
server = 127.0.0.1:1
channels = #ops #deploys

[hosts]
web1 = 127.0.0.1
db1 = 127.0.0.1

[command restart]
run = true
role = operator

[command wipe]
run = true
role = viewer
approvals = 1
confirm = yes

[command cut]
run = true
role = viewer
totp = yes

[command release]
run = echo {env}
on = here
role = viewer

[access prod]
command = release
when = env=prod
in = #deploys

[access databases]
command = *
hosts = db1
role = admin
"""


def faults(directory: Path, run: str, more: str = "in = #ops") -> list[str]:
    path = directory / "ircops.ini"
    path.write_text(f"{SETTINGS}\n[schedule night]\nat = 0 3 * * *\n{more}\nrun = {run}\n")
    try:
        check(ini.load(path))
    except BadConfig as error:
        line = path.read_text().splitlines().index(f"run = {run}") + 1
        start = f"{path}:{line}: [schedule night] {run}: "
        assert all(fault.startswith(start) for fault in error.faults), error.faults
        return [fault.removeprefix(start) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        ("helth @all", "unknown command helth; did you mean health? · list: help"),
        (
            "restart web1",
            "restart needs role operator; yours is viewer; write role = operator here",
        ),
        (
            "wipe web1",
            "it needs consent, which a schedule cannot ask for; "
            "write approvals = 0 and confirm = no in [command wipe]",
        ),
        (
            "cut web1",
            "cut needs a one-time code, which a schedule cannot give; say totp = no for it",
        ),
        ("release prod", "release is for #deploys ([access prod]); say it there"),
        ("load db1", "load needs role admin ([access databases]); yours is viewer"),
        ("load", "missing argument 'HOSTS' · usage: load HOSTS"),
        ("load wbe1", "invalid value for 'HOSTS': unknown host wbe1; known: web1"),
        (
            "schedule pause night",
            "schedule pause needs role operator; yours is viewer; write role = operator here",
        ),
        ("schedule rsume night", "schedule has no rsume; did you mean resume?"),
    ],
)
def test_what_would_be_refused_is_a_fault(tmp_path: Path, run: str, fault: str) -> None:
    (found,) = faults(tmp_path, run)
    assert found.startswith(fault), found


@pytest.mark.parametrize(
    ("run", "more"),
    [
        ("load web1", "in = #ops"),
        ("release prod", "in = #deploys"),
        ("release prod", "in = net/#deploys"),
        ("restart web1", "role = operator"),
        ("load db1", "role = admin"),
        ("load --help", ""),
    ],
)
def test_what_would_run_is_none(tmp_path: Path, run: str, more: str) -> None:
    assert faults(tmp_path, run, more) == []


OWN = """
import click
from ircops import requires

class Part(click.ParamType):
    name = "part"
    def convert(self, value, param, ctx):
        return ctx.obj.record.head

@requires("viewer")
@click.command()
@click.argument("part", type=Part(), default="x")
@click.option("--name", {option})
def own(part, name):
    "Something."
"""


@pytest.mark.parametrize("option", ["prompt=True", "default='x'"])
def test_what_only_a_bot_that_runs_can_know_is_left_to_it(tmp_path: Path, option: str) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "own.py").write_text(OWN.format(option=option))
    assert faults(tmp_path, "own") == []
