"""Nothing that is said in an argument is run: metacharacters through each argument of each command, on a real sshd host.

The cases are made from the commands there are, so a new one is tried by itself. It fails here until a plain call of it
gets as far as its body: give its arguments a value in EXAMPLES, or say in UNTRIED why it cannot be tried.
`canary` is a program on the host and on this machine that writes down that it was run, and by which case.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from ircops import ini
from ircops.catalog import Catalog
from ircops.errors import FAILED, OK, USAGE
from tests.bench import ROLES, Bench, with_bot
from tests.real.sshd import Sshd
from tests.real.test_commands_real import Scene, host, scene, settings_for

_ = host, scene, Scene  # fixtures

# Each would run `canary` if it were seen by a shell, or by a program that runs what it is told.
EVIL = [
    "; canary {}",
    "$(canary {})",
    "`canary {}`",
    "' ; canary {}; '",
    '" ; canary {}; "',
    "x\ncanary {}\ny",
    "x | canary {}",
    "x && canary {} &",
    "\\'; canary {} #",
    "<(canary {})",
    "${{IFS}};canary${{IFS}}{}",
    "{{canary,{}}}",
    "a[$(canary {})]",
    "-oProxyCommand=canary {}",
    "--checkpoint-action=exec=canary {}",
    "-exec canary {} ;",
    "x/e canary {}",
    "__import__('os').system('canary {}')",
    '"; system("canary {}"); "',
    "@{{[system 'canary {}']}}",
]

# By command and argument, or by argument: what a plain call says. Hosts, numbers and choices are known by their types.
EXAMPLES = {
    "name": "word",
    "word": "word",
    "words": "word",
    "path": "some-file",
    "hash": "1f3a",
    "code": "123456",
    "call": "version",
    "reason": "word",
    "span": "1h",
    "seconds": "1h",
    "size": "small",
    "measure": "load",
    "script.name": "probe",
    "put.name": "probe",
    "service.name": "nginx",
    "schedule.name": "night",
    "lock take.name": "deploy",
    "run.command": "true",
}
# Where a lone word is a shell line on purpose, it is said after this one; several words are literal.
AFTER = {"run.command": "echo"}
UNTRIED: dict[str, str] = {}  # command: why

SETTINGS = """
[schedule night]
at = 0 3 1 1 *
run = version
"""

PROBE = '#!/bin/sh\nfor word; do printf "<%s>" "$word"; done\n'
PYTHON = "#!/usr/bin/env python3\nimport sys\nprint(*(f'<{word}>' for word in sys.argv[1:]), sep='', end='')\n"
LINES = {
    "bare": "printf '<%s>' {a}",
    "ends": "printf '<%s>' -- {a}",
    "nested": 'sh -c \'printf "<%s>" "$1"\' x {a}',
    "substituted": "printf '<%s>' \"$(printf %s x{a})\"",
    "assigned": "X={a}; printf '<%s>' \"$X\"",
    "attached": "printf '<%s>' --x={a}",
    "cased": "case {a} in *) printf '<%s>' x{a};; esac",
    "piped": "printf '<%s>' x{a} | cat",
}


@dataclass(frozen=True)
class Case:
    """A line; `of` is the argument that has something evil in it, "" in a plain call."""

    command: str
    of: str
    line: str


class Canary:
    """What was run that should not be."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "bin" / "canary"
        self._sung = directory / "sung"
        self.program.parent.mkdir()
        self.program.write_text(f'#!/bin/sh\necho "$*" >>{shlex.quote(str(self._sung))}\n')
        self.program.chmod(0o755)

    def sang(self) -> list[int]:
        """The numbers of the cases that made it run."""
        text = self._sung.read_text() if self._sung.exists() else ""
        return [int(number) for number in re.findall(r"\d+", text)]


@pytest.fixture
def canary(host: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    canary = Canary(tmp_path)
    monkeypatch.setenv("PATH", str(canary.program.parent), prepend=":")
    there = host.directory / "bin" / "canary"
    there.symlink_to(canary.program)
    monkeypatch.setattr("ircops.commands.reboot.OFTEN", 0.1)
    monkeypatch.chdir(tmp_path)
    yield canary
    there.unlink()


def leaves(
    group: click.Group, path: str = ""
) -> Iterator[tuple[str, list[str], list[click.Parameter]]]:
    """Each command: its name, how it is called, its arguments; of a group that does something by itself, too."""
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from leaves(command, full)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            # the hidden one of a group is called by the group's name: `log TEXT`
            words = path.split() if path and command.hidden else full.split()
            yield full, words, [p for p in command.params if p.expose_value]


def example(command: str, param: click.Parameter) -> list[str] | None:
    """What a plain call says for it; None if nobody knows."""
    kind, name = param.type, param.name or ""
    if kind.name == "hosts":
        return ["web1"]
    if isinstance(kind, click.Choice):
        return [str(kind.choices[0])]
    if isinstance(kind, click.IntRange | click.types.IntParamType):
        return ["1"]
    outer = command.partition(" ")[0]
    for key in (f"{command}.{name}", f"{outer}.{name}", name):
        if key in EXAMPLES:
            return [EXAMPLES[key]] * max(param.nargs, 1)
    return None if param.required else []


def cases(root: click.Group) -> Iterator[Case]:
    """A plain call of each command, and one for each of its arguments and each evil word."""
    number = 0
    for command, words, params in leaves(root):
        if command in UNTRIED:
            continue
        plain = {p.name: example(command, p) for p in params if isinstance(p, click.Argument)}
        unknown = [name for name, value in plain.items() if value is None]
        assert not unknown, f"{command}: give {', '.join(map(str, unknown))} a value in EXAMPLES"
        yield Case(command, "", shlex.join([*words, *(w for v in plain.values() for w in v or ())]))
        for param in params:
            if isinstance(param, click.Option) and param.is_flag:
                continue
            for evil in EVIL:
                said = evil.format(number)
                number += 1
                if isinstance(param, click.Option):
                    options = [param.opts[-1], *[said] * param.nargs]
                    given = [w for v in plain.values() for w in v or ()]
                    yield Case(command, param.name or "", shlex.join([*words, *options, *given]))
                    continue
                evils = [*filter(None, [AFTER.get(f"{command}.{param.name}")]), said]
                evils += [said] * (param.nargs - 1)
                start = list(plain).index(param.name)
                before = [w for v in list(plain.values())[:start] for w in v or ()]
                after = [w for v in list(plain.values())[start + 1 :] for w in v or ()]
                dashes = ["--"] if said.startswith("-") and not before else []
                yield Case(
                    command,
                    param.name or "",
                    shlex.join([*words, *dashes, *before, *evils, *after]),
                )


def unasked(directory: Path, settings: str) -> str:
    """Sections by which no command asks anybody, or takes long."""
    path = directory / "asked.ini"
    path.write_text(f"[bot]\nstate = {directory}/asked\n{ROLES}{settings}")
    sections = []
    for name, _, _ in leaves(Catalog(ini.load(path)).root):
        sections.append(f"[command {name}]\napprovals = 0\nconfirm = no\ntimeout = 20\n")
    return "\n".join(sections)


def test_no_argument_of_any_command_is_run(host: Sshd, canary: Canary, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "probe").write_text(PROBE)
    settings = settings_for(host) + SETTINGS
    settings += unasked(tmp_path, settings)

    async def play(bench: Bench) -> None:
        tried = list(cases(bench.bot.parts.catalog.root))
        for case in tried:
            said = await bench.say(case.line, "carol")
            assert said.code in (OK, FAILED, USAGE), case
            assert "internal error" not in said.text, (case, said.text)
            assert not canary.sang(), case
        entries = bench.bot.parts.record.entries(last=10**6)
        started = {entry.line for entry in entries if entry.event == "started"}
        plain = [bench.bot.parts.record.redact(case.line) for case in tried if not case.of]
        idle = [line for line in plain if line not in started]
        assert not idle, f"never came to their bodies, so nothing was tried: {idle}"

    with_bot(tmp_path, settings, play)


def own(directory: Path, name: str, text: str) -> Path:
    path = directory / "commands" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_no_argument_of_a_command_of_ones_own_is_run_and_each_arrives_as_it_was_said(
    host: Sshd, canary: Canary, tmp_path: Path
) -> None:
    own(tmp_path, "program", PROBE)
    own(tmp_path, "snake", PYTHON)
    scripts = {"sh": PROBE, "python": PYTHON}
    sections, calls = ["[command program]\nrole = viewer\n[command snake]\nrole = viewer\n"], []
    for on, hosts in (("here", ""), ("HOSTS", " web1")):
        for name, line in LINES.items():
            sections.append(f"[command {name}-{on}]\nrun = {line}\non = {on}\nrole = viewer\n")
            calls.append(f"{name}-{on}{hosts}")
        for name, text in scripts.items():
            path = own(tmp_path, f".{name}", text)
            sections.append(f"[command {name}-{on}]\nscript = {path}\non = {on}\nrole = viewer\n")
            calls.append(f"{name}-{on}{hosts}")
    sections.append("[command fixed]\nrun = printf '<%s>' x{a}\non = web2\nrole = viewer\n")
    calls += ["fixed", "program", "snake"]

    async def play(bench: Bench) -> None:
        for number, evil in enumerate(EVIL):
            word = evil.format(number)
            for call in calls:
                said = await bench.say(f"{call} -- {shlex.quote(word)}", "dave")
                assert not canary.sang(), (call, word)
                if "may not begin with -" in said.text:
                    assert word.startswith("-") and call.startswith(("bare", "nested", "cased")), (
                        call
                    )
                    continue
                assert said.code == OK, (call, word, said.text)
                flat = re.sub(r"\n *", "\n", said.text)
                assert f"{word}>" in flat, (call, word, said.text)

    with_bot(tmp_path, settings_for(host) + "\n".join(sections), play)


CARELESS = """
import click
from ircops import requires, run

@requires("viewer")
@click.command()
@click.argument("word")
def careless(word):
    "What docs/commands.md says nobody should write."
    click.echo(run(f"echo {word}", "web1"))
"""


def test_a_careless_command_would_be_found(host: Sshd, canary: Canary, tmp_path: Path) -> None:
    own(tmp_path, "careless.py", CARELESS)

    async def play(bench: Bench) -> None:
        tried = [c for c in cases(bench.bot.parts.catalog.root) if c.command == "careless"]
        for case in tried:
            await bench.say(case.line, "dave")
        assert len(tried) == 1 + len(EVIL)
        assert len(canary.sang()) > 5

    with_bot(tmp_path, settings_for(host), play)
