"""systemd: what it is told (sd_notify(3)), and the unit that runs us."""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import os
import pwd
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ircops.errors import OpsError

log = logging.getLogger(__name__)

TARGET = Path("/etc/systemd/system/ircops.service")
PROGRAM = Path(sys.executable).with_name("ircops")
USER = "ircops"  # as the unit has it
ADD_USER = (
    f"useradd --system --user-group --home-dir /var/lib/{USER} --shell /usr/sbin/nologin {USER}"
)
PERIOD = 5.0  # seconds between two looks at how we are
PATIENCE = 1.0  # seconds for systemd to take a datagram
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # by ProtectHome= and PrivateTmp=


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell systemd `READY=1`, `STATUS=…` and the like; nothing happens where nobody listens."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address or not lines:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"  # the abstract namespace of unix(7)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd:
            systemd.settimeout(PATIENCE)
            systemd.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        log.warning("systemd did not take %s: %s", " ".join(lines), error.strerror or error)


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two signs of life, half of what systemd allows; None if it wants none of us.

    sd_watchdog_enabled(3): WATCHDOG_USEC holds for the process WATCHDOG_PID, if one is named.
    """
    allowed = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return int(allowed) / 2_000_000 if ours and allowed.isdecimal() and int(allowed) else None


async def watch(
    alive: Callable[[], str],
    status: Callable[[], str],
    *,
    environment: Mapping[str, str] = os.environ,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Until cancelled, tell systemd how we are, and that we live while `alive()` gives "".

    What else it gives is the reason why not, logged when it changes; systemd restarts us if that
    lasts for WatchdogSec.
    """
    interval = watchdog_interval(environment)
    ailment = told = ""
    while True:
        lines = []
        if (reason := alive()) != ailment:
            log.warning("no sign of life for systemd: %s", reason) if reason else log.info(
                "well again"
            )
            ailment = reason
        if interval and not reason:
            lines.append("WATCHDOG=1")
        if (says := " ".join((reason or status()).split())) != told:  # a line end would end STATUS
            lines.append(f"STATUS={says}")
            told = says
        notify(*lines, environment=environment)
        await sleep(min(interval or PERIOD, PERIOD))


def unit(config: Path, program: Path = PROGRAM) -> str:
    """The text of the unit that runs `program` with the settings in `config`, both absolute."""
    shipped = importlib.resources.files("ircops").joinpath("ircops.service").read_text("utf-8")
    line = f"ExecStart={_quoted(program)} run --config {_quoted(config)}"
    return re.sub("^ExecStart=.*", lambda match: line, shipped, flags=re.MULTILINE)


def install(config: Path, target: Path = TARGET, program: Path = PROGRAM) -> str:
    """Write the unit to `target`; gives what to do next. Raises OpsError."""
    if not config.is_file():
        raise OpsError(f"no {config}; write one with: ircops init {config}")
    for path in (config, program, program.with_name("python").resolve()):
        if any(path.is_relative_to(place) for place in HIDDEN):
            raise OpsError(
                f"a service cannot see {path}; install ircops, and its settings, elsewhere"
            )
    try:
        target.write_text(unit(config, program), "utf-8")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise OpsError(f"cannot write {target}: {reason}; be root, or use --print") from None
    steps = [f"chown {USER}: {config}", "systemctl daemon-reload", "systemctl enable --now ircops"]
    try:
        pwd.getpwnam(USER)
    except KeyError:
        steps.insert(0, ADD_USER)
    return "\n".join([f"wrote {target}; next, as root:", *(f"  {step}" for step in steps)])


def _quoted(path: Path) -> str:
    """A path as one word of a command line in a unit: systemd.service(5), systemd.unit(5)."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if re.search(r"[\s\"';]", text) else text
