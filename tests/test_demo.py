"""`ircops demo` without a terminal: the first look, played and checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

IRCOPS = Path(sys.executable).parent / "ircops"


def played(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [IRCOPS, "demo", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_the_script_in_the_box_shows_the_main_job() -> None:
    played_one = played()
    log = played_one.stdout
    assert (played_one.returncode, played_one.stderr) == (0, ""), log
    for host in (r"web\[1-2\]", "db1"):
        assert re.search(
            rf"<opsbot> you: {host}: load \d+\.\d\d \d+\.\d\d \d+\.\d\d on \d+ cores", log
        )
    assert "-opsbot- health: " in log  # nobody asked for it
    assert "run needs role admin; yours is operator" in log
    assert "unknown command laod; did you mean load?" in log
    assert re.search(r"<opsbot> .*#\d+ .* mem @all: ok", log)
    assert "a scheduled report came by itself" in log
    assert re.search(r"server 127\.0\.0\.1, port \d+, no TLS, channel #ops", log)


def test_a_script_of_ones_own_fails_if_a_line_is_not_answered(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("!coffee\n")
    assert played("--script", script).returncode == 0


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("ircops-demo-*"))
    script = tmp_path / "script"
    script.write_text("!whoami\n")
    played("--script", script)
    assert set(Path("/tmp").glob("ircops-demo-*")) <= before
