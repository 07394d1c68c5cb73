"""Where a provider's programs run: on its hypervisor over SSH, or on the bot's own machine."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ircops.errors import OpsError, Stopped
from ircops.ops.providers import Run, Unsure

if TYPE_CHECKING:
    from ircops.call import Stop

TIME = 300.0  # seconds that one step may take: an image may have to be fetched
SHOWN = 200  # characters of what a program says


class Shell(Protocol):
    """Runs one program to its end."""

    where: str

    def __call__(self, words: list[str], stdin: bytes = b"", looks: bool = False) -> str:
        """What it said on stdout. Raises OpsError with what it complained of, Unsure if its end was not seen.

        What only `looks` is no news for the host's own log.
        """


class OnHost:
    """On a host of the inventory."""

    def __init__(self, run: Run, host: str) -> None:
        self._run, self.where = run, host

    def __call__(self, words: list[str], stdin: bytes = b"", looks: bool = False) -> str:
        (result,) = self._run(words, self.where, stdin=stdin, timeout=TIME, fast=looks)
        if result.exit_code is None:
            raise Unsure(f"{self.where}: {result.error}")
        if result.exit_code:
            raise OpsError(f"{self.where}: {complaint(words, result.exit_code, result.stderr)}")
        return result.stdout


class Here:
    """On the bot's own machine, as its user."""

    where = "here"

    def __init__(self, stop: Stop | None = None) -> None:
        self._stop = stop

    def __call__(self, words: list[str], stdin: bytes = b"", looks: bool = False) -> str:
        pipe = subprocess.PIPE
        try:
            program = subprocess.Popen(
                words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            raise OpsError(f"{words[0]}: {(error.strerror or '').lower()}") from None
        with program:
            if self._stop:
                self._stop.on_ask(lambda reason: _end(program))
            try:
                stdout, stderr = program.communicate(stdin, TIME)
            except subprocess.TimeoutExpired:
                _end(program, signal.SIGKILL)
                raise Unsure(f"{words[0]} was not done after {TIME:.0f} s") from None
        if self._stop and self._stop.is_asked and program.returncode:
            raise Stopped(self._stop.reason)
        if program.returncode:
            raise OpsError(complaint(words, program.returncode, stderr.decode(errors="replace")))
        return stdout.decode(errors="replace")


def complaint(words: list[str], exit_code: int, stderr: str) -> str:
    """The last line that a program wrote to stderr, which says what stopped it; of a long one, both ends."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = lines[-1].removeprefix("Error: ") if lines else f"exit {exit_code}"
    if len(said) > SHOWN:
        said = f"{said[: SHOWN // 2]} … {said[-SHOWN // 2 :]}"
    program = os.path.basename(words[0])
    return said if program == "sh" and lines else f"{program}: {said}"


def _end(program: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    if program.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, number)
