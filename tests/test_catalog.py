"""All commands as one group: where they come from, how they are found, parsed and explained."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ircops.call import User
from ircops.catalog import Catalog, May
from ircops.config import Bot, Command, Settings
from ircops.errors import BadConfig, Denied, sentence
from ircops.policy import Role
from tests.people import ALICE, CAROL, DAVE

OWN = '''
import click
from ircops import requires

@requires("operator", timeout=5)
@click.command()
@click.argument("name")
def greet(name):
    """Greet NAME.

    Nobody reads this far in a channel.
    """
    click.echo(f"hello {name}")
'''


def catalog(directory: Path, **commands: Command) -> Catalog:
    return Catalog(
        Settings(path=Path("ircops.ini"), bot=Bot(commands=directory), commands=commands)
    )


def may(user: User) -> May:
    return lambda name, policy: policy.role <= user.role


def test_a_file_of_the_teams_own_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(OWN)
    found = catalog(tmp_path).find("greet 'big world'")
    assert (found.name, found.words) == ("greet", ("greet", "big world"))
    assert (found.policy.role, found.policy.timeout) == (Role.OPERATOR, 5)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("greet  big\tworld ", ("greet", "big", "world")),
        ("greet 'big world'", ("greet", "big world")),
        (r"greet big\ world", ("greet", "big world")),
        ("greet big\u00a0world", ("greet", "big\u00a0world")),  # no blank to a shell
    ],
)
def test_words_are_split_as_a_shell_would(
    tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "greet.py").write_text(OWN)
    assert catalog(tmp_path).find(line).words == words


def test_an_own_command_replaces_one_of_the_box(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(OWN.replace("def greet", "def load"))
    assert catalog(tmp_path).explain(("load",), may(CAROL))[0] == "usage: load NAME · Greet NAME."


def test_the_operator_overrides_the_author(tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(OWN)
    stricter = catalog(tmp_path, greet=Command(role=Role.ADMIN, approvals=1))
    policy = stricter.find("greet x").policy
    assert (policy.role, policy.approvals, policy.timeout) == (Role.ADMIN, 1, 5)


def test_a_command_without_a_stated_role_is_for_admins(tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(OWN.replace('@requires("operator", timeout=5)', ""))
    assert catalog(tmp_path).find("greet x").policy.role is Role.ADMIN


def test_every_broken_command_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def (:\n")
    (tmp_path / "two.py").write_text("import no_such_module\n")
    (tmp_path / "three.py").write_text("x = 1\n")
    with pytest.raises(BadConfig) as caught:
        catalog(tmp_path, laod=Command(role=Role.ADMIN))
    faults = "\n".join(caught.value.faults)
    assert f"{tmp_path}/one.py:1: invalid syntax" in faults
    assert "two.py: ModuleNotFoundError: No module named 'no_such_module'" in faults
    assert "three.py: ImportError: no click command named three in it" in faults
    assert "[command laod] has no run, script or click" in faults
    assert "did you mean load?" in faults


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("laod @web", "unknown command laod; did you mean load? · list: help"),
        ("xyzzy", "unknown command xyzzy · list: help"),
        ("load 'web", "no closing quotation: close the quote, or write \\' for a bare one"),
    ],
)
def test_a_wrong_word_gets_the_nearest(tmp_path: Path, line: str, answer: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        catalog(tmp_path).find(line)
    assert sentence(caught.value) == answer


def test_help_shows_only_what_the_asker_may_run(tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(OWN)
    commands = catalog(tmp_path)
    assert "greet" in commands.overview(may(ALICE))[0].split()
    assert "run" not in commands.overview(may(ALICE))[0].split()
    assert "run" in commands.overview(may(CAROL))[0].split()
    assert "greet" not in commands.overview(may(DAVE))[0].split()
    assert "nothing yet" in commands.overview(may(User("eve", Role.NOBODY)))[0]


def test_what_may_follow_is_what_the_asker_may_run(tmp_path: Path) -> None:
    commands, viewer = catalog(tmp_path), may(DAVE)
    assert {"load", "service"} <= set(commands.following([], viewer))
    assert "run" not in commands.following([], viewer)
    assert "run" in commands.following([], may(CAROL))
    assert commands.following(["service"], viewer) == ["status"]
    assert commands.following(["load"], viewer) == []
    assert commands.following(["service", "status", "nginx"], viewer) == []


def test_an_explanation_fits_three_lines(tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(OWN)
    commands = catalog(tmp_path, greet=Command(approvals=2, confirm=True))
    assert commands.explain(("greet",), may(ALICE)) == [
        "usage: greet NAME · Greet NAME.",
        "needs role operator, 2 approvals, a confirmation",
    ]
    with pytest.raises(Denied, match="greet is not for you; why greet says why"):
        commands.explain(("greet",), may(DAVE))


def test_every_command_of_the_box_explains_itself_in_three_lines(tmp_path: Path) -> None:
    commands = catalog(tmp_path)
    for name, command in commands.root.commands.items():
        lines = commands.explain((name,), may(CAROL))
        assert 2 <= len(lines) <= 4, name
        assert command.help, name


def test_a_click_group_is_mounted_whole(tmp_path: Path) -> None:
    mounted = catalog(tmp_path, prog=Command(click="ircops.cli:main", role=Role.OPERATOR))
    found = mounted.find("prog record verify")
    assert (found.name, found.policy.role) == ("prog record verify", Role.OPERATOR)
    context = mounted.parse(mounted.find("prog record show --last 3"), None)
    assert (context.command.name, context.params["last"]) == ("show", 3)


def test_a_group_without_its_subcommand_names_them(tmp_path: Path) -> None:
    mounted = catalog(tmp_path, prog=Command(click="ircops.cli:main", role=Role.OPERATOR))
    with pytest.raises(click.UsageError) as caught:
        mounted.parse(mounted.find("prog record"), None)
    assert sentence(caught.value).startswith("prog record needs one of: show verify export")


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("no.such:thing", "No module named 'no'"),
        ("ircops.chosen:PLACES", "is a tuple, not a click command"),
    ],
)
def test_a_mount_that_is_no_command_is_a_fault(tmp_path: Path, where: str, fault: str) -> None:
    with pytest.raises(BadConfig, match=fault):
        catalog(tmp_path, prog=Command(click=where))
