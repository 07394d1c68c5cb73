"""The probe itself, run by every sh there is here."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ircops.ops.probe import PROBE, WATCHED
from ircops.ops.vitals import parse


def shells(directory: Path) -> Iterator[tuple[list[str], str]]:
    """Each kind of sh there is here, with the PATH of its world."""
    path = "/usr/bin:/bin"
    yield ["sh"], path
    yield ["bash", "--posix"], path
    if dash := shutil.which("dash"):
        yield [dash], path
    if busybox := shutil.which("busybox"):
        subprocess.run([busybox, "--install", "-s", str(directory)], check=True)
        yield ["sh"], str(directory)


@pytest.mark.parametrize("probe", [WATCHED, PROBE], ids=["watched", "whole"])
def test_the_probe_works_in_every_shell_here(probe: str, tmp_path: Path) -> None:
    for shell, path in shells(tmp_path):
        vitals = parse(_run(shell, path, probe).stdout)
        assert vitals is not None and vitals.clock is not None
        assert abs(vitals.clock - time.time()) < 30  # after it, busybox and apt took their time
        assert len(vitals.load) == 3 and vitals.cores >= 1 and vitals.uptime and vitals.boot
        assert vitals.memory is not None and 0 < vitals.memory < 100
        assert "/" in [disk.mount for disk in vitals.disks]
        assert vitals.errors is not None and vitals.reboot is not None


def test_the_probe_survives_a_host_with_nothing_but_a_shell(tmp_path: Path) -> None:
    done = _run([shutil.which("sh") or "sh"], str(tmp_path), PROBE)
    assert parse(done.stdout) is not None
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """A network disk holds df; what comes after it is still told."""
    for name in ("timeout", "sleep", "date", "sh", "cat", "true"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "df").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "df").chmod(0o755)
    quick = WATCHED.replace("timeout 5", "timeout 0.1")
    assert quick != WATCHED
    vitals = parse(_run(["sh"], str(tmp_path), quick).stdout)
    assert vitals is not None and vitals.uptime and vitals.disks == ()


UPDATES = """\
Reading package lists...
Inst bash [5.2] (5.3 Debian:12/stable [amd64])
Inst openssl [3.0] (3.1 Debian-Security:12/stable-security [amd64])
Inst libssl3 [3.0] (3.1 Debian:12/stable, Debian-Security:12/stable-security [amd64]) []
Conf bash (5.3 Debian:12/stable [amd64])
"""


@pytest.mark.parametrize(
    ("says", "found"),
    [(UPDATES, (3, 2)), ("Reading package lists...\n", (0, 0)), (None, (None, None))],
    ids=["some", "none", "it fails"],
)
def test_updates_are_counted_where_they_can_be(
    says: str | None, found: tuple[int | None, int | None], tmp_path: Path
) -> None:
    for name in ("sh", "cat", "sed", "sort", "uniq", "date", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    program = tmp_path / "apt-get"
    said = "exit 100" if says is None else f"cat <<'END'\n{says}END"
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    vitals = parse(_run(["sh"], str(tmp_path), PROBE).stdout)
    assert vitals is not None and (vitals.updates, vitals.security) == found


def test_the_probe_has_no_single_quotes_and_is_small() -> None:
    """Each quote is four bytes to every host; and a resident shell takes it in one packet."""
    assert "'" not in PROBE
    assert len(WATCHED) < 2500


def _run(shell: list[str], path: str, probe: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(shell[0], path=path) or shell[0]
    return subprocess.run(
        [program, *shell[1:], "-c", probe], capture_output=True, text=True, env={"PATH": path}
    )
