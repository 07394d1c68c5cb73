"""Which ircops.ini is meant: the one that was named, or the first where people keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ircops.config import Settings

PLACES = (Path("ircops.ini"), Path("~/.config/ircops/ircops.ini"), Path("/etc/ircops/ircops.ini"))
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="IRCOPS_CONFIG",
    help="The ircops.ini; without it the first of " + ", ".join(map(str, PLACES)) + ".",
)


def find(config: Path | None) -> Path:
    """The path of the settings; where none are, the place where people put them first."""
    if config is not None:
        return config
    for place in PLACES:
        if place.expanduser().is_file():
            return place.expanduser()
    return PLACES[0]


def load(config: Path | None) -> Settings:
    """Read them. Raises BadConfig with every fault."""
    from ircops import ini

    return ini.load(find(config))
