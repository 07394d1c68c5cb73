"""All commands as one click group: the box's, the team's own files, executables and [command …] sections.

Finds a command by its words, parses its arguments, explains it, and knows the nearest name to a wrong one.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import importlib
import importlib.util
import pkgutil
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click

from ircops import recipes
from ircops.call import User
from ircops.config import Settings
from ircops.errors import BadConfig, usage
from ircops.policy import Policy, policy_of

POLICY_KEYS = ("role", "approvals", "confirm", "timeout", "lock")


@dataclass(frozen=True)
class Found:
    """A command found by its words, before anybody looks at its arguments."""

    command: click.Command
    name: str  # `schedule pause`
    policy: Policy
    words: tuple[str, ...]  # all that was said, split as a shell would


class Catalog:
    """The commands of this bot.

    Raises BadConfig with a line for each command that cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.root = click.Group("ircops")
        self.root.context_settings = {"color": True}
        faults: list[str] = []
        for command in _load_all(settings, faults):
            self.root.add_command(_with_help(command))
        for name in settings.commands:
            if not self._walk(name.split()):
                near = _nearest(name, self.root.commands)
                faults.append(
                    f"{settings.place(f'command {name}')}: [command {name}] has no run, script or click, "
                    f"and there is no such command to set a policy for{near}"
                )
        if faults:
            raise BadConfig(faults)

    def find(self, line: str) -> Found:
        """The command that `line` names; UsageError with the nearest name if there is none."""
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            words = tuple(line.split())
            if not any(getattr(link, "takes_text", False) for link in self._walk(words)[-1:]):
                raise click.UsageError(
                    f"{str(error).lower()}: close the quote, or write \\' for a bare one"
                ) from None
        links = self._walk(words)
        if not links:
            word = words[0] if words else ""
            raise click.UsageError(
                f"unknown command {word}{_nearest(word, self.root.commands)} · list: help"
            )
        return Found(links[-1], " ".join(words[: len(links)]), self._policy(words, links), words)

    def parse(self, found: Found, ops: object) -> click.Context:
        """Parse the words of `found` to the innermost context, `ops` its `obj`; raises what click raises."""
        context = self.root.make_context("", list(found.words), obj=ops)
        while isinstance(context.command, click.Group):
            words = [
                *getattr(context, "_protected_args", ()),
                *context.args,
            ]  # click keeps them apart
            if not words:
                break
            name, command, rest = context.command.resolve_command(context, words)
            if command is None:
                break
            context.invoked_subcommand = name
            try:
                context = command.make_context(name, rest, parent=context)
            except click.exceptions.NoArgsIsHelpError as error:
                choices = getattr(error.ctx.command, "commands", {}) if error.ctx else {}
                raise click.UsageError(f"{found.name} needs one of: {' '.join(choices)}") from None
        return context

    def policy(self, context: click.Context) -> Policy:
        """The policy of the innermost command of a parsed context."""
        words = context.command_path.split()
        return self._policy(words, self._walk(words))

    def overview(self, user: User) -> list[str]:
        """`!help`: the commands `user` may run, and how to learn more."""
        names = [
            name
            for name in sorted(self.root.commands)
            if not self.root.commands[name].hidden
            and self._policy([name], [self.root.commands[name]]).role <= user.role
        ]
        if not names:
            return [f"you may run nothing yet: {user} has no role; an admin adds it to [roles]"]
        return [
            "commands: " + " ".join(names),
            "more: help COMMAND · hosts are written web1, web[1-3], @group or @all",
        ]

    def explain(self, words: tuple[str, ...], user: User) -> list[str]:
        """`!help load`: usage, what it does, what it asks; UsageError for an unknown command."""
        found = self.find(shlex.join(words))
        context = self.root.make_context("", [], resilient_parsing=True)
        for name, command in zip(found.name.split(), self._walk(words), strict=False):
            context = click.Context(command, info_name=name, parent=context)
        lines = _explained(context)
        policy = found.policy
        asks = [
            f"role {policy.role}" + ("" if user.role >= policy.role else f" (you are {user.role})")
        ]
        asks += [f"{policy.approvals} approval{'s' * (policy.approvals > 1)}"] * bool(
            policy.approvals
        )
        asks += ["a confirmation"] * policy.confirm
        return [*lines, "needs " + ", ".join(asks)]

    def _walk(self, words: tuple[str, ...] | list[str]) -> list[click.Command]:
        """The commands that the leading words name, outermost first."""
        links: list[click.Command] = []
        group: click.Command = self.root
        for word in words:
            if not isinstance(group, click.Group) or word not in group.commands:
                break
            group = group.commands[word]
            links.append(group)
        return links

    def _policy(self, words: tuple[str, ...] | list[str], links: list[click.Command]) -> Policy:
        """Group by group what the author says, then what the operator's [command …] says of it."""
        policy: Policy | None = None
        for depth, command in enumerate(links, 1):
            policy = policy_of(command, policy)
            if section := self._settings.commands.get(" ".join(words[:depth])):
                stated = {key: getattr(section, key) for key in POLICY_KEYS}
                policy = dataclasses.replace(
                    policy, **{key: value for key, value in stated.items() if value is not None}
                )
        return policy or Policy()


def _load_all(settings: Settings, faults: list[str]) -> Iterator[click.Command]:
    """Every command, a later one of the same name in place of an earlier: box, files, executables, ini."""
    box = importlib.import_module(
        "ircops.commands"
    )  # the checkout's commands/, by package_dir in setup.cfg
    for info in pkgutil.iter_modules(box.__path__):
        module = importlib.import_module(f"ircops.commands.{info.name}")
        yield _command_of(module, info.name)
    directory = settings.bot.commands
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if (
            path.suffix == ".py"
            and path.stem != "__init__"
            and not directory.samefile(box.__path__[0])
        ):
            if command := _load_file(path, faults):
                yield command
        elif recipes.is_executable(path):
            yield recipes.executable(path, settings.commands.get(path.name))
    for name, section in settings.commands.items():
        try:
            if command := recipes.section(name, section):
                yield command
        except ValueError as error:
            faults.append(f"{settings.place(f'command {name}')}: [command {name}] {error}")


def _load_file(path: Path, faults: list[str]) -> click.Command | None:
    """The command in a file of the team's own; None, and a fault, if the file is broken."""
    spec = importlib.util.spec_from_file_location(f"ircops_own.{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a .py path always has both
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return _command_of(module, path.stem)
    except SyntaxError as error:
        faults.append(f"{path}:{error.lineno}: {error.msg}")
    except Exception as error:  # a team's own file may raise anything while it is imported
        faults.append(f"{path}: {type(error).__name__}: {error}")
    return None


def _command_of(module: ModuleType, stem: str) -> click.Command:
    """File NAME.py holds the command NAME, as `NAME` or `NAME_`."""
    for attribute in (stem, f"{stem}_"):
        command = getattr(module, attribute, None)
        if isinstance(command, click.Command):
            command = copy.copy(command)
            command.name = stem.replace("_", "-")
            return command
    raise ImportError(f"no click command named {stem} in it")


def _with_help(command: click.Command) -> click.Command:
    """A copy whose `--help` says what `!help` says, in a few lines; so too for those under it."""
    command = copy.copy(command)
    command.add_help_option = False
    if not any("--help" in param.opts for param in command.params):
        show = click.Option(
            ["--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            hidden=True,
            callback=_show_help,
        )
        command.params = [*command.params, show]
    if isinstance(command, click.Group):
        command.commands = {name: _with_help(inner) for name, inner in command.commands.items()}
    return command


def _show_help(context: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        for line in _explained(context):
            click.echo(line)
        context.exit()


def _explained(context: click.Context) -> list[str]:
    """Usage and first paragraph, then the options, in two or three lines."""
    command = context.command
    # \b is click's mark for "do not rewrap"; a blank line ends what fits a channel
    paragraph = re.split(r"\n\s*\n", (command.help or "").replace("\b\n", "").strip())[0]
    lines = [f"usage: {usage(context)} · " + " ".join(paragraph.split())]
    options = [
        record[0] + (f": {record[1]}" if record[1] else "")
        for param in command.params
        if isinstance(param, click.Option) and (record := param.get_help_record(context))
    ]
    if options:
        lines.append("options: " + " · ".join(options))
    if isinstance(command, click.Group):
        lines.append(f"{context.command_path}: " + " ".join(sorted(command.commands)))
    return lines


def _nearest(word: str, names: object) -> str:
    close = difflib.get_close_matches(word, list(names), 1)  # type: ignore[call-overload]
    return f"; did you mean {close[0]}?" if close else ""
