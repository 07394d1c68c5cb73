"""All commands as one click group: the box's, the team's own files, executables and [command …] sections.

Finds a command by its words, parses its arguments, explains it, and knows the nearest name to a wrong one.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import importlib
import importlib.util
import itertools
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ircops import recipes
from ircops.config import Settings
from ircops.errors import BadConfig, Denied, usage
from ircops.policy import Policy, Role, policy_of
from ircops.rules import flat
from ircops.ssh.inventory import HostsType

QUOTING = re.compile(
    r"""['"\\]|[^\S \t\r\n]"""
)  # what a shell sees in another way than `str.split`
if TYPE_CHECKING:
    from ircops.ops import Ops

POLICY_KEYS = ("role", "approvals", "confirm", "timeout", "lock", "totp")
DRY_RUN = "ircops.dry_run"  # in a context's meta

May = Callable[[str, Policy], bool]  # whether the asker might run a command of that name and policy


class Found(NamedTuple):
    """A command found by its words, before anybody looks at its arguments."""

    command: click.Command
    name: str  # `schedule pause`
    policy: Policy
    words: tuple[str, ...]  # all that was said, split as a shell would


class Reading(NamedTuple):
    """What a parsed call comes to."""

    name: str  # what the innermost command is called here, by whatever words it was found
    policy: Policy
    arguments: dict[str, Any]  # of it and of the groups it is in; of two of one name, both
    hosts: Any  # all that it names, as a NodeSet; None if it names none


class Catalog:
    """The commands of this bot.

    Raises BadConfig with a line for each command that cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.root = click.Group("ircops")
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
        self._add_dry_runs(self.root, ())

    def find(self, line: str, may: May | None = None) -> Found:
        """The command that `line` names; UsageError with the nearest name that its asker may run if there is none."""
        try:
            words = tuple(_split(line))
        except ValueError as error:
            words = tuple(line.split())
            if not any(getattr(link, "takes_text", False) for link in self._walk(words)[-1:]):
                raise click.UsageError(
                    f"{str(error).lower()}: close the quote, or write \\' for a bare one"
                ) from None
        links = self._walk(words)
        if not links:
            word = words[0] if words else ""
            shown = self._shown(self.root, "", may) if may else self.root.commands
            raise click.UsageError(f"unknown command {word}{_nearest(word, shown)} · list: help")
        return Found(links[-1], " ".join(words[: len(links)]), self._policy(words, links), words)

    def parse(self, found: Found, ops: Ops | None) -> click.Context:
        """Parse the words of `found` to the innermost context, `ops` its `obj`; raises what click raises."""
        context = click.Context(self.root, info_name="", obj=ops, color=True)
        context.args = list(found.words)  # the root has no options that could be among them
        while isinstance(context.command, click.Group):
            words = [
                *getattr(context, "_protected_args", ()),
                *context.args,
            ]  # click keeps them apart
            if not words:
                break
            try:
                name, command, rest = context.command.resolve_command(context, words)
            except click.exceptions.NoSuchCommand as error:  # click's knows nothing of rights
                near = _nearest(words[0], self.inside(context, ops.may)) if ops else ""
                unknown = f"{found.name} has no {error.command_name}{near}"
                raise click.UsageError(unknown, context) from None
            if command is None:
                break
            context.invoked_subcommand = name
            try:
                context = command.make_context(name, rest, parent=context)
            except click.exceptions.NoArgsIsHelpError as error:
                choices = self._shown(
                    error.ctx.command if error.ctx else command,
                    found.name,
                    ops.may if ops else None,
                )
                raise click.UsageError(f"{found.name} needs one of: {' '.join(choices)}") from None
        return context

    def read(self, context: click.Context) -> Reading:
        """What a parsed context means, as things stand now."""
        links = links_of(context)
        names = self._names(links)
        policy = self._policy(names, [link.command for link in links[1:]])
        arguments: dict[str, Any] = {}
        hosts: Any = None
        for link in links[1:]:
            both = {
                name: (arguments[name], link.params[name])
                for name in arguments.keys() & link.params
            }
            arguments |= link.params | both if both else link.params
            for param in link.command.params:
                if isinstance(param.type, HostsType):
                    for named in flat(link.params.get(param.name or "")):
                        hosts = named if hosts is None else hosts | named
        return Reading(" ".join(names), policy, arguments, hosts)

    def is_dry(self, context: click.Context) -> bool:
        """The plan is to be shown, and nothing to be run."""
        return bool(context.meta.get(DRY_RUN))

    def overview(self, may: May) -> list[str]:
        """`!help`: the commands that the asker may run, and how to learn more."""
        names = sorted(self._shown(self.root, "", may))
        if not names:
            return ["you may run nothing yet; an admin adds your account to [roles]"]
        return [
            "commands: " + " ".join(names),
            "more: help COMMAND · hosts are written web1, web[1-3], @group or @all",
        ]

    def explain(self, words: tuple[str, ...], may: May) -> list[str]:
        """`!help load`: usage, what it does, what it asks. UsageError if there is none, Denied if it is not for the asker."""
        found = self.find(shlex.join(words), may)
        links = self._walk(words)
        shown = self._shown(found.command, found.name, may)
        if not may(found.name, found.policy) and not shown:
            raise Denied(f"{found.name} is not for you; why {found.name} says why")
        context = self.root.make_context("", [], resilient_parsing=True)
        for name, command in zip(found.name.split(), links, strict=False):
            context = click.Context(command, info_name=name, parent=context)
        policy = found.policy
        asks = [f"role {policy.role}"]
        asks += [f"{policy.approvals} approval{'s' * (policy.approvals > 1)}"] * bool(
            policy.approvals
        )
        asks += ["a confirmation"] * policy.confirm + ["a one-time code"] * policy.totp
        return [*_explained(context, shown), "needs " + ", ".join(asks)]

    def following(self, words: list[str], may: May) -> list[str]:
        """The names of commands that may come after `words`, of those the asker may run; () after a whole command."""
        links = self._walk(words)
        if len(links) < len(words):
            return []
        return sorted(self._shown(links[-1] if links else self.root, " ".join(words), may))

    def inside(self, context: click.Context, may: May) -> list[str]:
        """The commands in the group of `context` that the asker may run; () if it is none."""
        return self._shown(context.command, " ".join(self._names(links_of(context))), may)

    def _shown(self, group: click.Command, path: str, may: May | None) -> list[str]:
        """The commands in `group`, which is called `path`, that the asker may run; () if it is none."""
        names = []
        for name, command in getattr(group, "commands", {}).items():
            full = f"{path} {name}".strip()
            words = full.split()
            is_allowed = may is None or may(full, self._policy(words, self._walk(words)))
            if not command.hidden and (is_allowed or self._shown(command, full, may)):
                names.append(name)
        return names

    def _add_dry_runs(self, group: click.Group, path: tuple[str, ...]) -> None:
        """Give --dry-run to every command that is not for viewers, unless it has one of its own."""
        for name, command in group.commands.items():
            words = (*path, name)
            if isinstance(command, click.Group):
                self._add_dry_runs(command, words)
            elif self._policy(words, self._walk(words)).role > Role.VIEWER and not any(
                "--dry-run" in param.opts for param in command.params
            ):
                command.params = [*command.params, _DryRun()]

    def _names(self, links: list[click.Context]) -> list[str]:
        """What the commands of `links` are called.

        A group may find a command by other words than its name, `dep` for `deploy`, and rights hang on the name.
        """
        names = []
        for group, link in itertools.pairwise(links):
            name, known = link.info_name or "", getattr(group.command, "commands", {})
            if known.get(name) is not link.command:
                same = (n for n, c in known.items() if c is link.command)
                name = next(same, link.command.name or "")
            names.append(name)
        return names

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


class _DryRun(click.Option):
    """`--dry-run`: say what would run and who would have to consent, and run nothing."""

    def __init__(self) -> None:
        super().__init__(
            ["--dry-run"], is_flag=True, is_eager=True, expose_value=False, hidden=True
        )

    def handle_parse_result(
        self, context: click.Context, options: Mapping[str, Any], words: list[str]
    ) -> tuple[Any, list[str]]:
        if self.name in options:
            context.meta[DRY_RUN] = True
        return None, words


class _Help(click.Option):
    """`--help`, which says what `!help` says, in a few lines."""

    def __init__(self) -> None:
        super().__init__(["--help"], is_flag=True, is_eager=True, expose_value=False, hidden=True)

    def handle_parse_result(
        self, context: click.Context, options: Mapping[str, Any], words: list[str]
    ) -> tuple[Any, list[str]]:
        """Click's own asks the environment, defaults and the like for what nobody said."""
        if self.name in options:
            ops = context.obj
            for line in _explained(context, ops.catalog.inside(context, ops.may)):
                click.echo(line)
            context.exit()
        return None, words


def links_of(context: click.Context) -> list[click.Context]:
    """A context and those it is in, outermost first."""
    links = [context]
    while links[-1].parent is not None:
        links.append(links[-1].parent)
    return links[::-1]


def _with_help(command: click.Command) -> click.Command:
    """A copy whose `--help` is ours; so too for those under it."""
    command = copy.copy(command)
    command.add_help_option = False
    if not any("--help" in param.opts for param in command.params):
        command.params = [*command.params, _Help()]
    if type(command).get_params is click.Command.get_params:
        # click's own looks for doubles at every call, which takes as long as all the rest of its parsing
        command.get_params = lambda ctx: command.params  # type: ignore[method-assign]
        command.make_parser = _parsers_of(command)  # type: ignore[assignment,method-assign]
    if isinstance(command, click.Group):
        command.commands = {name: _with_help(inner) for name, inner in command.commands.items()}
    return command


def _parsers_of(command: click.Command) -> Callable[[click.Context], Any]:
    """What makes its parsers: the same for each call but for the context, so the first is copied."""
    made: list[Any] = []

    def make_parser(context: click.Context) -> Any:
        if not made:
            made.append(click.Command.make_parser(command, context))
        parser = copy.copy(made[0])
        parser.ctx = context
        return parser

    return make_parser


def _explained(context: click.Context, inside: list[str]) -> list[str]:
    """Usage and first paragraph, then the options and what is `inside` a group, in two or three lines."""
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
    if inside:
        lines.append(f"{context.command_path}: " + " ".join(sorted(inside)))
    return lines


def _split(line: str) -> list[str]:
    """The words of `line` as a shell would; ValueError for an open quote."""
    return shlex.split(line) if QUOTING.search(line) else line.split()


def _nearest(word: str, names: object) -> str:
    close = difflib.get_close_matches(word, list(names), 1)  # type: ignore[call-overload]
    return f"; did you mean {close[0]}?" if close else ""
