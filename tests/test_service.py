"""What systemd is told, over a real socket, and the unit, by systemd's own judgement."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ircops import service
from ircops.errors import OpsError

CONFIG = Path("/etc/passwd")  # any file that a service may read
PROGRAM = Path("/bin/sh")
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None and "CI" not in os.environ, reason="systemd-analyze is not here"
)


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address}

    def told(self) -> list[str]:
        """Every line since the last time."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@ircops-test-{os.getpid()}"
    other_end = Systemd(address)
    yield other_end
    other_end.socket.close()


def test_systemd_is_told(systemd: Systemd) -> None:
    service.notify("READY=1", "STATUS=connected", environment=systemd.environment)
    assert systemd.told() == ["READY=1", "STATUS=connected"]


def test_nobody_is_told_where_nobody_listens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service.notify("READY=1", environment={})
    assert caplog.messages == []
    service.notify("READY=1", environment={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert caplog.messages == ["systemd did not take READY=1: No such file or directory"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_sign_of_life_comes_twice_as_often_as_asked(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert service.watchdog_interval(environment) == seconds


class Bot:
    """A bot whose health a test turns, one look of `watch` at a time."""

    def __init__(self, systemd: Systemd, *turns: tuple[str, str], usec: str = "60000000") -> None:
        self.systemd = systemd
        self.turns = list(turns)
        self.told: list[list[str]] = []
        self.slept: list[float] = []
        environment = systemd.environment | {"WATCHDOG_USEC": usec}
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(
                service.watch(
                    lambda: self.turns[0][0],
                    lambda: self.turns[0][1],
                    environment=environment,
                    sleep=self.sleep,
                )
            )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.told.append(self.systemd.told())
        del self.turns[0]
        if not self.turns:
            raise asyncio.CancelledError


def test_sign_of_life_is_given_only_while_alive(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bot = Bot(
        systemd,
        ("", "connected, 2 jobs"),
        ("", "connected, 2 jobs"),
        ("the scheduler\nstands still", ""),
        ("the scheduler\nstands still", ""),
        ("", "connected, 0 jobs"),
    )
    assert bot.told == [
        ["WATCHDOG=1", "STATUS=connected, 2 jobs"],
        ["WATCHDOG=1"],
        ["STATUS=the scheduler stands still"],
        [],
        ["WATCHDOG=1", "STATUS=connected, 0 jobs"],
    ]
    assert caplog.messages == [
        "no sign of life for systemd: the scheduler\nstands still",
        "well again",
    ]


def test_sign_of_life_is_in_time(systemd: Systemd) -> None:
    assert Bot(systemd, ("", "fine")).slept == [service.PERIOD]
    assert Bot(systemd, ("", "fine"), usec="3000000").slept == [1.5]


def test_no_sign_of_life_where_none_is_asked(systemd: Systemd) -> None:
    assert Bot(systemd, ("", "fine"), usec="").told == [["STATUS=fine"]]


def test_unit_runs_this_program_with_these_settings() -> None:
    text = service.unit(Path("/etc/my ops/100%.ini"), Path("/opt/ircops/bin/ircops"))
    (line,) = re.findall("^ExecStart=.*", text, re.MULTILINE)
    assert line == 'ExecStart=/opt/ircops/bin/ircops run --config "/etc/my ops/100%%.ini"'
    assert "RestartPreventExitStatus=2 77 78" in text


def test_unit_is_written_and_the_next_steps_are_told(tmp_path: Path) -> None:
    target = tmp_path / "ircops.service"
    told = service.install(CONFIG, target, PROGRAM).splitlines()
    assert target.read_text() == service.unit(CONFIG, PROGRAM)
    assert told[0] == f"wrote {target}; next, as root:"
    assert told[-3:] == [
        f"  chown ircops: {CONFIG}",
        "  systemctl daemon-reload",
        "  systemctl enable --now ircops",
    ]


@pytest.mark.parametrize(
    ("config", "program", "sentence"),
    [
        (Path("/etc/nope.ini"), PROGRAM, "no /etc/nope.ini; write one with: ircops init"),
        (CONFIG, Path("/home/alice/bin/ircops"), "a service cannot see /home/alice/bin/ircops;"),
    ],
)
def test_unit_that_could_not_run_is_not_written(
    tmp_path: Path, config: Path, program: Path, sentence: str
) -> None:
    with pytest.raises(OpsError, match=sentence):
        service.install(config, tmp_path / "ircops.service", program)
    assert not (tmp_path / "ircops.service").exists()


def test_settings_in_a_home_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HIDDEN", (str(tmp_path),))
    config = tmp_path / "ircops.ini"
    config.touch()
    with pytest.raises(OpsError, match="a service cannot see .*ircops.ini; "):
        service.install(config, tmp_path / "ircops.service", PROGRAM)


def test_who_may_not_write_the_unit_is_told_what_else_to_do(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="be root, or use --print"):
        service.install(CONFIG, tmp_path / "nowhere" / "ircops.service", PROGRAM)


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "ircops.service"
    unit.write_text(service.unit(CONFIG, PROGRAM))
    assert ANALYZE is not None, "install systemd"
    verified = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
def test_unit_exposes_little(tmp_path: Path) -> None:
    unit = tmp_path / "ircops.service"
    unit.write_text(service.unit(CONFIG, PROGRAM))
    assert ANALYZE is not None, "install systemd"
    judged = subprocess.run(
        [ANALYZE, "security", "--no-pager", "--offline=yes", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
