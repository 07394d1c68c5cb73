"""A machine with a real systemd and an sshd: nspawn boots one of this machine's own files, which it cannot change."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.sshd import CONFIG, HOSTS, Sshd, free_port, make_keys, said_ssh

PATIENCE = 60.0  # seconds; it boots in four on two busy cores

# Nothing of this machine's own services is started, as these stand in the place of /etc/systemd/system.
UNITS = {
    "scene.target": "[Unit]\nRequires=sysinit.target ssh.service\nAfter=sysinit.target\n",
    "ssh.service": "[Unit]\nAfter=sysinit.target\n[Service]\nRuntimeDirectory=sshd\nExecStart={sshd} -D -f {at}/sshd_config\n",
    "good.service": "[Service]\nExecStart=/bin/sh -c 'echo good has begun; exec sleep 4000'\n",
    "late.service": "[Service]\nExecStart=/bin/sh -c 'sleep 0.3; echo late is broken; exit 3'\n",
    "once.service": "[Service]\nType=oneshot\nExecStart=/bin/echo once is done\n",
}
MASKED = "tmp.mount systemd-journal-flush.service systemd-networkd.service systemd-resolved.service".split()

# nspawn leaves its machine running when it is killed; with the first process of a namespace all others die.
APART = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]

# A container that is rebooted ends with 133 and is to be started anew: systemd-nspawn(1), --keep-unit.
AGAIN = """\
mount --bind / "$1" && shift
while :; do "$@"; [ $? = 133 ] || exit; done
"""


@contextlib.contextmanager
def booted(directory: Path) -> Iterator[Sshd]:
    """Boot it for the length of the block; its sshd is as `serve` would make it, root's only."""
    if os.geteuid():
        pytest.skip("only root may boot a container")
    lacking = pytest.fail if os.environ.get("CI") else pytest.skip
    if subprocess.run([*APART, "true"], capture_output=True).returncode:
        lacking("no namespaces of one's own here: a container could not be booted")
    if not (nspawn := shutil.which("systemd-nspawn")):
        lacking("no systemd-nspawn here: apt install systemd-container")
    make_keys(directory)
    port, units, root = free_port(), directory / "units", directory / "root"
    for place in (units, root, directory / "bin"):
        place.mkdir()
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") or "sshd"
    for name, text in UNITS.items():
        (units / name).write_text(text.format(sshd=program, at=directory))
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (directory / "bin/reboot").symlink_to("/bin/systemctl")  # as the package systemd-sysv has it
    listen = "\n".join(f"ListenAddress {address}" for address in HOSTS.values())
    mark = f"IRCOPS_TEST={directory.name}"
    (directory / "sshd_config").write_text(
        CONFIG.format(port=port, listen=listen, at=directory, mark=mark, path=os.environ["PATH"])
    )
    words = [nspawn, "--quiet", "--volatile=overlay", "--register=no", "--keep-unit", "--boot"]
    words += [f"--directory={root}", "--machine=ircops-test", "--console=pipe"]
    words += [f"--bind={directory}", f"--bind-ro={units}:/etc/systemd/system"]
    words += ["--", "--unit=scene.target"]
    with open(directory / "boot.log", "wb") as log:
        process = subprocess.Popen(
            [*APART, "sh", "-c", AGAIN, "again", root, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    machine = Sshd(directory, port, pwd.getpwuid(0).pw_name, mark, process)
    try:
        if not said_ssh(process, HOSTS["web1"], port, PATIENCE):
            pytest.fail(f"it does not boot: {(directory / 'boot.log').read_text()}")
        lines = [f"[{address}]:{port} {machine.host_key()}\n" for address in HOSTS.values()]
        machine.known_hosts.write_text("".join(lines))
        yield machine
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process in there, and wait until the kernel has done so with all others."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    first = [int(pid) for pid in children.read_text().split()] if process.poll() is None else []
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    process.wait(PATIENCE)
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)
