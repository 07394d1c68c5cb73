"""Virtual machines of libvirt: virsh on a hypervisor over SSH, a NoCloud seed for cloud-init."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from ircops.errors import OpsError, Stopped
from ircops.ops.providers import Order, Seen, Unsure
from ircops.ops.providers.cloud import console_key
from ircops.ops.providers.seed import archive, user_data

if TYPE_CHECKING:
    from ircops.config import Provider
    from ircops.ops.providers.shell import Shell

CPUS, MEMORY = 1, 1024  # where no size is asked for; megabytes
STATES = {"shut off": "stopped", "idle": "running"}
# The disk of cloud-init's NoCloud, made by whichever program there is of the tar that comes on stdin. A private key is
# on it: it is for us only, and libvirt gives it to its qemu.
SEED = """\
set -e
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xf - -C "$work"
for program in genisoimage mkisofs xorrisofs; do
    command -v $program >/dev/null || continue
    $program -quiet -volid cidata -joliet -rock -output "$1" "$work"
    exit
done
echo "none of genisoimage, mkisofs and xorrisofs is there; install one" >&2
exit 1
"""
DISK = """\
set -e
[ -r "$1" ] || { echo "there is no image $1 to read" >&2; exit 1; }
case $3 in 0) size= ;; *) size=$3G ;; esac
format=$(qemu-img info "$1" | sed -n 's/^file format: //p')
exec qemu-img create -q -f qcow2 -F "$format" -b "$1" "$2" $size
"""
USER_NETWORK = """\
 <qemu:commandline>
  <qemu:arg value='-netdev'/><qemu:arg value='user,id=ircops,hostfwd=tcp:{address}:{port}-:22'/>
  <qemu:arg value='-device'/><qemu:arg value='virtio-net-pci,netdev=ircops,romfile=,addr=0x10'/>
 </qemu:commandline>
"""


class Libvirt:
    """Implements `Provider`. The UUID of a domain is our label, and its id."""

    def __init__(self, settings: Provider, shell: Shell) -> None:
        self._settings, self._shell = settings, shell
        self._virsh = ["virsh", "--quiet", *shlex.split(settings.options)]

    def create(self, order: Order) -> Seen:
        """Defined first, so that it is found by its label whatever becomes of the steps that follow."""
        kind = "kvm" if self._has_kvm() else "qemu"
        self._do("define", "/dev/stdin", stdin=self._xml(order, kind).encode())
        kernel, disk, seed = _parts(order.image), *self._files(order.label)
        if not kernel:
            self._shell(["sh", "-c", DISK, "sh", order.image, disk, str(order.shape[2])])
        if self._settings.seed:
            keys, key = order.authorized_keys, order.host_key
            data = user_data(order.name, order.user, keys, key)
            meta = f"instance-id: {order.label}\nlocal-hostname: {order.name}\n"
            files = [("user-data", data, 0o600), ("meta-data", meta, 0o600)]
            self._shell(["sh", "-c", SEED, "sh", seed], archive(files))
        self._do("start", order.label)
        return Seen(order.label, order.name, order.label, "running")

    def list(self) -> list[Seen]:
        listed = self._look("list", "--all", "--uuid", "--name").splitlines()
        states = set(self._look("list", "--state-running", "--state-paused", "--uuid").split())
        pairs = (line.split(None, 1) for line in listed if line.strip())
        return [
            Seen(uuid, name.strip(), uuid, "running" if uuid in states else "stopped")
            for uuid, name in pairs
        ]

    def show(self, id: str) -> Seen | None:
        try:
            state = self._look("domstate", id).strip()
        except Unsure:
            raise
        except (OpsError, Stopped) as error:
            if "failed to get domain" in error.message or "Domain not found" in error.message:
                return None
            raise
        state = STATES.get(state, state)
        is_far = state == "running" and not self._settings.ports
        return Seen(id, label=id, state=state, address=self._address(id) if is_far else "")

    def start(self, id: str) -> None:
        self._do("start", id)

    def stop(self, id: str) -> None:
        self._do("shutdown", id)

    def reboot(self, id: str) -> None:
        self._do("reboot", id)

    def destroy(self, id: str) -> None:
        seen = self.show(id)
        if seen and seen.state != "stopped":
            self._do("destroy", id)
        if seen:
            self._do("undefine", id, "--managed-save", "--snapshots-metadata")
        self._shell(["rm", "-f", *self._files(id), self._console(id)])

    def resize(self, id: str, size: str) -> None:
        """What it has from its next start on; it must be stopped, for few guests take more while they run."""
        seen = self.show(id)
        if seen and seen.state != "stopped":
            raise OpsError("it runs; server stop it first, resize it, and start it again")
        cpus, memory, _ = Order("", "", "", size, "").shape
        self._do("setvcpus", id, f"{cpus:.0f}", "--config", "--maximum")
        self._do("setvcpus", id, f"{cpus:.0f}", "--config")
        self._do("setmaxmem", id, f"{memory}MiB", "--config")
        self._do("setmem", id, f"{memory}MiB", "--config")

    def host_key(self, id: str) -> str:
        """As cloud-init printed it on the serial console."""
        try:
            return console_key(self._shell(["cat", self._console(id)], looks=True))
        except Unsure:
            raise
        except OpsError:
            return ""

    def _address(self, id: str) -> str:
        """By the lease that its network gave it, or by ARP."""
        for source in ("lease", "arp"):
            try:
                said = self._look("domifaddr", id, "--source", source)
            except Unsure:
                raise
            except OpsError:
                continue
            if found := re.search(r"ipv4\s+([\d.]+)/", said):
                return found[1]
        return ""

    def _has_kvm(self) -> bool:
        try:
            self._look("domcapabilities", "--virttype", "kvm")
        except Unsure:
            raise
        except OpsError:
            return False
        return True

    def _files(self, label: str) -> tuple[str, str]:
        """Disk and seed, by names that say whose they are."""
        store = self._settings.store
        return f"{store}/ircops-{label}.qcow2", f"{store}/ircops-{label}.iso"

    def _console(self, label: str) -> str:
        return f"{self._settings.store}/ircops-{label}.console"

    def _xml(self, order: Order, kind: str) -> str:
        cpus, memory, _ = order.shape
        disk, seed = self._files(order.label)
        boot, disks = "<boot dev='hd'/>", [("disk", "qcow2", disk)]
        if kernel := _parts(order.image):
            line = f"console=ttyS0 quiet hostname={order.name}"
            boot = "".join(
                f"<{tag}>{escape(text)}</{tag}>"
                for tag, text in zip(("kernel", "initrd", "cmdline"), (*kernel, line), strict=True)
            )
            disks = []
        disks += [("disk", "raw", seed)] * self._settings.seed
        devices = "".join(
            f"<disk type='file' device='{device}'><driver name='qemu' type='{form}'/>"
            f"<source file={quoteattr(path)}/><target dev='vd{'ab'[number]}' bus='virtio'/>"
            f"{'<readonly/>' * (form == 'raw')}</disk>"
            for number, (device, form, path) in enumerate(disks)
        )
        outside = ""
        if order.port:
            address = self._settings.address
            bind = address if re.fullmatch(r"[\d.]+", address) else ""
            outside = USER_NETWORK.format(address=bind, port=order.port)
        else:
            source, _, bridge = self._settings.network.partition(":")
            link = ("bridge", bridge) if bridge else ("network", source or "default")
            devices += (
                f"<interface type='{link[0]}'><source {link[0]}={quoteattr(link[1])}/>"
                "<model type='virtio'/></interface>"
            )
        return f"""\
<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
 <name>{escape(order.name)}</name><uuid>{order.label}</uuid>
 <memory unit='MiB'>{memory or MEMORY}</memory><vcpu>{cpus or CPUS:.0f}</vcpu>
 <os><type machine='pc'>hvm</type>{boot}</os><features><acpi/></features>
 <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>
 <devices>{devices}<serial type='file'><source path={quoteattr(self._console(order.label))}/></serial>
 <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices>
{outside}</domain>
"""

    def _do(self, *words: str, stdin: bytes = b"") -> str:
        return self._shell([*self._virsh, *words], stdin)

    def _look(self, *words: str) -> str:
        return self._shell([*self._virsh, *words], looks=True)


def _parts(image: str) -> tuple[str, str] | None:
    """KERNEL+INITRD; None for an image that is a disk."""
    kernel, plus, initrd = image.partition("+")
    return (kernel, initrd) if plus else None
