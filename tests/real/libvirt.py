"""A hypervisor with libvirt: an sshd, a libvirtd of its own, and a VM so small that it boots in seconds without KVM.

The VM is Debian's cloud kernel and an initramfs of busybox and dropbear. Its init does what cloud-init would: it reads
the NoCloud disk, and takes host key, name and authorized keys from there.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.sshd import Sshd, serve

PROGRAMS = (
    "virsh",
    "libvirtd",
    "qemu-system-x86_64",
    "genisoimage",
    "dropbear",
    "cpio",
    "modprobe",
)
NOBODY = 65534  # libvirt's session daemon is for ordinary users
MODULES = (
    "virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net "
    "virtio_blk cdrom isofs rng-core virtio-rng"
).split()
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
# The system's libvirtd gives disks to the user that its qemu runs as; an ordinary user's cannot.
OPEN = """#!/bin/sh
{program} "$@" || exit
chmod -f a+rw {store}/*.qcow2 {store}/*.iso
exit 0
"""
# Without KVM each process costs; what is started here is little.
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /seed; mount -t devpts devpts /dev/pts
for module in $(cat /modules/order); do insmod "/modules/$module.ko"; done
mount -t iso9660 -o ro /dev/vda /seed || poweroff -f
sed -n 's/.*"ed25519_private": "\(.*\)",$/\1/p' /seed/user-data >/tmp/key
printf '%b' "$(cat /tmp/key)" >/tmp/openssh
dropbearconvert openssh dropbear /tmp/openssh /etc/dropbear/key
sed -n '/ssh_authorized_keys/,/]/s/^ *"\(ssh-.*\)",\{0,1\}$/\1/p' /seed/user-data >/root/.ssh/authorized_keys
hostname "$(sed -n 's/^local-hostname: //p' /seed/meta-data)"
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
dropbear -E -s -r /etc/dropbear/key -p 22
echo "-----BEGIN SSH HOST KEY KEYS-----"
sed -n 's/.*"ed25519_public": "\(.*\)".*/\1/p' /seed/user-data
echo "-----END SSH HOST KEY KEYS-----"
while :; do sleep 3600; done
"""


@dataclass(frozen=True)
class VmHost:
    """Its sshd, how its libvirt is talked to, and what a VM is made of."""

    sshd: Sshd
    options: str
    store: Path
    image: str  # KERNEL+INITRD

    def virsh(self, *words: str) -> str:
        """Run virsh there, beside ircops."""
        command = ["virsh", "-q", *self.options.split(), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def vm_host() -> Iterator[VmHost]:
    """One for all tests of the run."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if lacking or os.geteuid() != 0:
        why = f"needs root, and the packages in tests/real/packages.txt; lacking: {lacking}"
        (pytest.fail if os.environ.get("CI") and lacking else pytest.skip)(why)
    # pytest's own are for one user, and nobody is another
    with tempfile.TemporaryDirectory(prefix="ircops-vms-") as directory:
        yield from _in(Path(directory))


def _in(directory: Path) -> Iterator[VmHost]:
    for name in ("home", "home/run", "home/.config/libvirt", "store"):
        (directory / name).mkdir(parents=True)
    (directory / "home/.config/libvirt/qemu.conf").write_text(
        'stdio_handler = "file"\nsecurity_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
    )
    for path in (directory / "home", *(directory / "home").rglob("*"), directory / "store"):
        os.chown(path, NOBODY, NOBODY)
    directory.chmod(0o755)
    (directory / "bin").mkdir()
    for name in ("qemu-img", "genisoimage"):
        program = directory / "bin" / name
        program.write_text(OPEN.format(program=shutil.which(name), store=directory / "store"))
        program.chmod(0o755)
    kernel, initrd = _kernel(directory / "kernel"), directory / "initrd.gz"
    initrd.write_bytes(_initrd(directory / "kernel", directory / "root"))
    daemon = _libvirtd(directory / "home", directory / "libvirtd.log")
    socket = f"{directory}/home/run/libvirt/libvirt-sock"
    options = f"-c qemu+unix:///session?socket={socket}"
    try:
        with serve(directory) as sshd:
            made = VmHost(sshd, options, directory / "store", f"{kernel}+{initrd}")
            yield made
            for name in made.virsh("list", "--name").split():
                made.virsh("destroy", name)
    finally:
        daemon.terminate()
        daemon.wait(20)


def _libvirtd(home: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": PATH, "HOME": str(home), "XDG_RUNTIME_DIR": f"{home}/run"}
    with log.open("wb") as file:
        daemon = subprocess.Popen(
            ["libvirtd"],
            env=environment,
            stdout=file,
            stderr=file,
            cwd="/",
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
        )
    deadline = time.monotonic() + 30
    while not (home / "run/libvirt/libvirt-sock").exists():
        assert daemon.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return daemon


def _kernel(directory: Path) -> Path:
    """Debian's kernel for clouds, fetched as a package and only unpacked."""
    directory.mkdir()
    try:
        _download(directory)
    except AssertionError:  # the list of packages is missing, or old
        _run("apt-get", "update", "-qq")
        _download(directory)
    (package,) = directory.glob("linux-image-*.deb")
    _run("dpkg", "-x", str(package), str(directory))
    (kernel,) = directory.glob("boot/vmlinuz-*")
    return kernel


def _download(directory: Path) -> None:
    said = _run("apt-cache", "depends", "linux-image-cloud-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", said)
    assert found is not None, said
    _run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", found[1], at=directory)


def _initrd(kernel: Path, root: Path) -> bytes:
    for name in "bin etc/dropbear proc sys dev root/.ssh tmp modules var/log".split():
        (root / name).mkdir(parents=True)
    for program in ("busybox", "dropbear", "dropbearconvert"):
        where = shutil.which(program, path=PATH)
        assert where is not None
        shutil.copy(where, root / "bin" / program)
        linked = subprocess.run(["ldd", where], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", linked):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    order = []
    for name in MODULES:
        for module in kernel.rglob(f"{name}.ko"):
            shutil.copy(module, root / "modules")
            order.append(name)
    (root / "modules/order").write_text(" ".join(order))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/bin/sh\n")
    (root / "root/.ssh").chmod(0o700)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0"]
    archive = subprocess.run(
        command, input=names.encode(), cwd=root, capture_output=True, check=True
    ).stdout
    return gzip.compress(archive, 1)


def _run(*words: str, at: Path | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, cwd=at)
    assert done.returncode == 0, done.stderr
    return done.stdout
