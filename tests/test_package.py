"""What is installed is what the checkout has: commands, settings, unit and migrations in the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_everything_and_nothing_else(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    source = tmp_path / "source"
    for name in listed:  # a copy, for the build leaves its traces
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = (
        "-m pip wheel --quiet --no-deps --no-build-isolation --disable-pip-version-check".split()
    )
    subprocess.run([sys.executable, *build, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    modules = {name for name in listed if name.startswith("ircops/") and name.endswith(".py")}
    commands = {f"ircops/{name}" for name in listed if name.startswith("commands/")}
    templates = {name for name in listed if name.startswith("ircops/web/templates/")}
    assert names == modules | commands | templates | {
        "ircops/ircops.ini",
        "ircops/ircops.service",
        "ircops/py.typed",
    }
    with zipfile.ZipFile(wheel) as opened:
        assert opened.read("ircops/ircops.ini") == (ROOT / "ircops.ini").read_bytes()
