"""The documentation says what is true: commands, programs, targets and files it names exist."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

from ircops import commands
from ircops.cli import main
from ircops.ini import load

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {module.name for module in pkgutil.iter_modules(commands.__path__)}
EXAMPLES = {"commands", "restart", "deploy", "backup", "yes", "no"}  # the reader's own, and answers


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"(?<![\w\[#])!([a-z]{2,})\b", path.read_text()))
    assert named <= COMMANDS | EXAMPLES, named - COMMANDS - EXAMPLES


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_program_that_is_named_exists(path: Path) -> None:
    named = set(
        re.findall(r"(?:bin/|`|^    )ircops ([a-z][a-z-]+)", path.read_text(), re.MULTILINE)
    )
    assert named <= set(main.commands), named


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert link.startswith("https://") or (path.parent / link).exists(), link


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(
        re.findall(r"(?:^    |`)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert named <= targets


def test_the_readme_lists_every_command_of_the_box() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not {name for name in COMMANDS if f"`{name}`" not in readme}


def test_the_settings_in_the_readme_are_right(tmp_path: Path) -> None:
    block = re.search(
        r"documents every key:\n\n((?:    .*\n|\n)+)", (ROOT / "README.md").read_text()
    )
    assert block is not None
    text = re.sub(r"(?m)^    ", "", block[1])
    (tmp_path / "ircops.ini").write_text(text)
    (tmp_path / "sasl_password").write_text("s3cret")
    settings = load(tmp_path / "ircops.ini", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert list(settings.schedules) == ["morning"]
