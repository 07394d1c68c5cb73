"""A hypervisor with podman: an sshd of OpenSSH, a store of its own, and a small image with an sshd in it.

The image is busybox and this machine's own sshd, which is a second's work; a debootstrap would be a minute's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.sshd import Sshd, serve

IMAGE = "localhost/ircops-test:1"
PROGRAMS = ("podman", "runc", "busybox")
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/ssh/sshd_config": (
        "UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
        "HostKey /etc/ssh/ssh_host_ed25519_key\nSetEnv PATH=/bin\n"
    ),
}
APPLETS = (
    "awk cat chmod cut date df echo env false free grep head hostname id kill ls mkdir mktemp nproc printf "
    "ps rm sed setsid sh sleep sort tail test timeout touch tr true uname uptime wc"
).split()


@dataclass(frozen=True)
class Hypervisor:
    """Its sshd, and the options that keep its podman to a store of its own."""

    sshd: Sshd
    options: tuple[str, ...]

    def podman(self, *words: str) -> str:
        """Run podman there, beside ircops."""
        command = ["podman", *self.options, *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    @property
    def containers(self) -> list[str]:
        """The names of all."""
        return sorted(self.podman("ps", "--all", "--format", "{{.Names}}").split())


@pytest.fixture(scope="session")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hypervisor]:
    """One for all tests of the run."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        why = f"needs root and podman runc busybox (apt install); lacking: {lacking}"
        (pytest.fail if os.environ.get("CI") and lacking else pytest.skip)(why)
    directory = tmp_path_factory.mktemp("hypervisor")
    run = tempfile.TemporaryDirectory(prefix="hypervisor-")  # podman takes 50 characters at most
    options = (
        *("--root", f"{directory}/root", "--runroot", run.name),
        *("--tmpdir", f"{directory}/tmp", "--cgroup-manager", "cgroupfs"),
        *("--events-backend", "file", "--runtime", "runc"),
    )
    with run, serve(directory) as sshd:
        made = Hypervisor(sshd, options)
        archive = _root(directory)
        try:
            command = 'CMD ["/bin/sshd","-D","-e"]'
            made.podman("import", "--quiet", "--change", command, str(archive), IMAGE)
            yield made
        finally:
            made.podman("rm", "--all", "--force", "--time", "0")
            made.podman("rmi", "--all", "--force")
            # overlays stay mounted by podman until it is told otherwise
            subprocess.run(["umount", "--lazy", f"{directory}/root/overlay"], capture_output=True)


def _root(directory: Path) -> Path:
    """A tar of the image's files."""
    root = directory / "image"
    for name in ("bin", "root", "tmp", "proc", "dev", "run/sshd", "etc/ssh"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name, text in FILES.items():
        (root / name).write_text(text)
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    for name in ("busybox", "sshd"):
        program = shutil.which(name, path=path)
        assert program is not None
        shutil.copy(program, root / "bin" / name)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", linked):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    archive = directory / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, ".")
    return archive
