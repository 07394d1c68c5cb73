"""Commands that are not Python: [command NAME] sections and executables of any language, as click commands."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib
import logging
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ircops import config, template
from ircops.errors import OpsError
from ircops.policy import ATTRIBUTE, Facts, Policy
from ircops.ssh.inventory import HOSTS

log = logging.getLogger(__name__)

SHELLS = {"sh", "bash", "dash", "ksh", "zsh"}
TERM_TO_KILL = 5.0  # seconds between SIGTERM and SIGKILL for an executable that was told to stop
HERE = "here"


def section(name: str, section: config.Command) -> click.Command | None:
    """The command of a [command NAME] section; None if it only states the policy of one that exists.

    Raises ValueError with what is wrong with it.
    """
    if section.click:
        return _mounted(name, section)
    if section.run:
        return _line(name, section)
    if section.script:
        return _script(name, section)
    return None


def is_executable(path: Path) -> bool:
    """A program of the team's own in commands/: executable, not Python source, not hidden."""
    return (
        path.is_file() and os.access(path, os.X_OK) and path.suffix != ".py" and path.name[0] != "."
    )


def executable(path: Path, section: config.Command | None) -> click.Command:
    """A program that gets argv, answers on stdout, logs on stderr."""

    @click.pass_obj
    def body(ops: Any, arguments: tuple[str, ...]) -> None:
        _run_here(ops, [str(path), *arguments], path.name)

    help = (section and section.help) or _described(path)
    return _bound_to(_with_any_arguments(path.name, body, help), lambda: path.read_bytes())


def _line(name: str, section: config.Command) -> click.Command:
    """`run = df -h {path}`: a shell line with quoted arguments, on hosts or here."""
    line = section.run
    names = template.names(line)
    if wrong := template.fault(line):
        raise ValueError(f"run: {wrong}")
    if "hosts" in names:
        raise ValueError("run: {hosts} is not an argument; `on = HOSTS` asks for the hosts")

    @click.pass_obj
    def body(ops: Any, /, hosts: Any = None, **arguments: str) -> None:
        filled = template.filled(line, arguments)
        if section.on == HERE:
            _run_here(ops, ["/bin/sh", "-c", filled], name)
        else:
            _run_there(ops, filled, hosts, section)

    arguments = [_argument(argument, line) for argument in names]
    return click.Command(
        name, callback=body, params=[*_hosts_parameter(section), *arguments], help=section.help
    )


def _argument(name: str, line: str) -> click.Argument:
    """One that a program cannot take for an option, unless the line says where options end."""

    def check(context: click.Context, parameter: click.Parameter, value: str) -> str:
        if value.startswith("-") and template.may_be_option(line, name):
            raise click.BadParameter(
                f"it may not begin with -, or a program could take it for an option; "
                f"-- before {{{name}}} in the ini allows it"
            )
        return value

    return click.Argument([name], callback=check)


def _script(name: str, section: config.Command) -> click.Command:
    """`script = FILE`: the file is fed to its interpreter on each host; arguments follow."""
    path = section.script
    assert path is not None
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"script: cannot read {path}: {error.strerror}") from None
    first = source.split(b"\n", 1)[0].decode(errors="replace")
    interpreter = shlex.split(first[2:])[:2] if first.startswith("#!") else ["/bin/sh"]
    flags = ["-s", "--"] if Path(interpreter[-1]).name in SHELLS else ["-"]

    @click.pass_obj
    def body(ops: Any, arguments: tuple[str, ...], hosts: Any = None) -> None:
        if section.on == HERE:
            _run_here(ops, [str(path), *arguments], name)
        else:
            _run_there(ops, [*interpreter, *flags, *arguments], hosts, section, source)

    command = _with_any_arguments(name, body, section.help)
    command.params[:0] = _hosts_parameter(section)
    is_here = section.on == HERE  # there what was read at the start is fed to its interpreter
    return _bound_to(command, lambda: path.read_bytes() if is_here else source)


def _mounted(name: str, section: config.Command) -> click.Command:
    """`click = module:group`: any click command that can be imported."""
    module, _, attribute = section.click.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"click: {error}; write module:attribute of something importable"
        ) from None
    if not isinstance(command, click.Command):
        raise ValueError(
            f"click: {section.click} is a {type(command).__name__}, not a click command"
        )
    command = copy.copy(command)
    command.name = name
    return command


def _bound_to(command: click.Command, read: Callable[[], bytes]) -> click.Command:
    """Consent to `command` is consent to what the program says now."""

    def facts(ops: Any, arguments: Mapping[str, Any]) -> Mapping[str, str]:
        try:
            return {"script": hashlib.sha256(read()).hexdigest()}
        except OSError as error:
            raise OpsError(f"{command.name}: cannot read it: {error.strerror}") from None

    given: Facts = facts
    setattr(command, ATTRIBUTE, Policy(facts=given))
    return command


class _Fixed(click.Option):
    """A parameter that nobody can give: always its default."""

    def add_to_parser(self, parser: object, ctx: click.Context) -> None:
        pass


def _hosts_parameter(section: config.Command) -> list[click.Parameter]:
    """The hosts of a section: asked for, fixed by the operator, or none."""
    if section.on == HERE:
        return []
    if section.on == "HOSTS":
        return [click.Argument(["hosts"], type=HOSTS)]
    return [_Fixed(["hosts", "--on"], type=HOSTS, default=section.on, hidden=True)]


def _with_any_arguments(name: str, body: Any, help: str) -> click.Command:
    return click.Command(
        name,
        callback=body,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        help=help,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )


def _run_there(
    ops: Any, command: str | Sequence[str], hosts: Any, section: config.Command, stdin: bytes = b""
) -> None:
    """Run on the hosts and answer folded; a host that failed makes the call fail."""
    results = ops.run(command, hosts, stdin=stdin, timeout=section.timeout)
    click.echo(results)
    if results.failed:
        click.get_current_context().exit(1)


def _run_here(ops: Any, argv: list[str], name: str) -> None:
    """Run a program on the bot's own machine: stdout is the answer, stderr goes to the log."""
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ},
        "IRCOPS_USER": ops.user.name,
        "IRCOPS_CHANNEL": ops.call.where,
        "IRCOPS_JOB": str(ops.job.number),
    }
    try:
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, so that a stop reaches its children too
        )
    except OSError as error:
        raise OpsError(f"{name}: cannot start {argv[0]}: {error.strerror}") from None
    ops.call.stop.on_ask(lambda reason: _end(process))
    logger = threading.Thread(target=_log_errors, args=(process, name), daemon=True)
    logger.start()
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(line, nl=False)
        code = process.wait()
        logger.join()
    ops.call.stop.check()
    if code:
        click.echo(
            f"{name}: " + (f"exit {code}" if code > 0 else f"ended by {signal.Signals(-code).name}")
        )
        click.get_current_context().exit(1)


def _log_errors(process: subprocess.Popen[str], name: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        log.info("%s: %s", name, line.rstrip("\n"))


def _end(process: subprocess.Popen[str]) -> None:
    """TERM to the whole group, KILL to what is left."""
    signal_group = functools.partial(_signal_group, process)
    signal_group(signal.SIGTERM)
    timer = threading.Timer(TERM_TO_KILL, signal_group, (signal.SIGKILL,))
    timer.daemon = True
    timer.start()


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, number)


def _described(path: Path) -> str:
    """The text after the first comment's colon: `# commands/backup: Back up the database NAME.`"""
    with path.open("rb") as file:
        head = file.read(512).decode(errors="replace")
    found = re.search(r"^\s*(?:#|//|--|;)(?!!)[^:\n]*:\s*(\S.*)$", head, re.MULTILINE)
    return found[1].strip() if found else f"Run {path.name}."
