"""Commands that are not Python: sections and executables, run for real on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ircops import recipes
from ircops.config import Command
from tests.bench import Bench, with_bot
from tests.people import until


def program(directory: Path, name: str, text: str) -> None:
    path = directory / "commands" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_section_runs_its_line_with_quoted_arguments(tmp_path: Path) -> None:
    section = "[command show]\nrun = printf '%s|' {first} {second}\non = here\nrole = viewer\n"

    async def scene(bench: Bench) -> None:
        said = await bench.say("show 'a  b' '$(id); rm -rf x'")
        assert (said.code, said.text) == (0, "a  b|$(id); rm -rf x|")
        said = await bench.say("show one")
        assert said.text == "missing argument 'SECOND' · usage: show FIRST SECOND"

    with_bot(tmp_path, section, scene)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (Command(run='echo "{name}"'), "write {name} without quotes"),
        (Command(run="echo {hosts}"), "`on = HOSTS` asks for the hosts"),
        (Command(script=Path("/no/such/file")), "cannot read /no/such/file: No such file"),
    ],
)
def test_a_faulty_section_says_what_to_write(section: Command, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        recipes.section("x", section)


def test_an_argument_is_no_option_unless_the_line_says_where_options_end(tmp_path: Path) -> None:
    sections = """
[command show]
run = echo {word} x{word}
on = here
role = viewer

[command list]
run = basename -- {word}
on = here
role = viewer
"""

    async def scene(bench: Bench) -> None:
        said = await bench.say("show -- --version")
        assert "it may not begin with -" in said.text and "-- before {word} in the ini" in said.text
        assert (await bench.say("show -- a-b")).text == "a-b xa-b"
        assert (await bench.say("list -- -n")).text == "-n"

    with_bot(tmp_path, sections, scene)


def test_an_executable_gets_argv_and_its_caller(tmp_path: Path) -> None:
    program(
        tmp_path,
        "backup",
        "#!/bin/sh\n# commands/backup: Back up the database NAME.\n"
        'echo "$1 $2 for $IRCOPS_USER in $IRCOPS_CHANNEL, job $IRCOPS_JOB"; echo "to the log" >&2; exit 3\n',
    )

    async def scene(bench: Bench) -> None:
        said = await bench.say("backup shop --full")
        assert said.lines == ["shop --full for alice in #ops, job 1", "backup: exit 3"]
        assert said.code == 1
        assert (await bench.say("help backup")).lines[0] == (
            "usage: backup [ARGUMENTS]... · Back up the database NAME."
        )

    with_bot(tmp_path, "[command backup]\nrole = operator\n", scene)


def test_an_executable_without_a_stated_role_is_for_admins(tmp_path: Path) -> None:
    program(tmp_path, "wipe", "#!/bin/sh\necho wiped\n")

    async def scene(bench: Bench) -> None:
        assert (await bench.say("wipe")).text == "wipe needs role admin; yours is operator"
        assert (await bench.say("wipe", "carol")).text == "wiped"

    with_bot(tmp_path, "", scene)


def test_a_kill_ends_the_whole_process_group(tmp_path: Path) -> None:
    program(tmp_path, "slow", "#!/bin/sh\nsleep 600 & echo $!; wait\n")

    async def scene(bench: Bench) -> None:
        asked = bench.begin("slow", "carol")
        await until(lambda: asked.heard.lines)
        child = int(asked.heard.lines[0])
        os.kill(child, 0)
        killed = await bench.say("kill 1", "carol")
        assert killed.text == "job 1 (slow) was told to stop"
        assert (await asked.end()).lines[-1] == "killed by carol"
        await until(lambda: not _runs(child))

    with_bot(tmp_path, "", scene)


def _runs(pid: int) -> bool:
    """Alive, and no zombie that nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_here_runs_by_its_own_first_line(tmp_path: Path) -> None:
    program(
        tmp_path, "hello", "#!/usr/bin/env python3\nimport sys\nprint('hello', *sys.argv[1:])\n"
    )
    section = f"[command hello]\nscript = {tmp_path}/commands/hello\non = here\nrole = viewer\n"

    async def scene(bench: Bench) -> None:
        assert (await bench.say("hello big world")).text == "hello big world"

    with_bot(tmp_path, section, scene)
