"""Machines of a cloud, through Apache Libcloud: `[provider]` names its driver, and what that is to be given."""

from __future__ import annotations

import inspect
import logging
import re
import shlex
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ircops.errors import OpsError
from ircops.ops.providers import Order, Seen, Unsure
from ircops.ops.providers.seed import user_data

if TYPE_CHECKING:
    from ircops.config import Provider

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 60  # seconds that the cloud may take for an answer
STOPPING = 300.0  # seconds that a machine may take to stop, before it is resized
SHOWN = 200  # characters of what a cloud says
NUMBERS = ("port", "timeout")  # of a driver's arguments; signature_version=4 is text to it
# what cloud-init prints on the console at the first boot
KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.S)
# the argument of create_node for each, by the names that drivers have for it
NAMES = {
    "label": ("ex_clienttoken",),
    "tags": ("ex_metadata",),
    "user_data": ("ex_userdata", "ex_user_data"),
}


class Cloud:
    """Implements `Provider`. Its calls cannot be interrupted, but each is over after TIMEOUT."""

    def __init__(self, settings: Provider) -> None:
        self._settings = settings

    def create(self, order: Order) -> Seen:
        """The label goes as client token (the same one twice makes one machine) or as metadata, in the same call."""
        from libcloud.compute.base import NodeImage, NodeSize

        driver = self._driver
        given: dict[str, Any] = arguments(self._settings.machine_options)
        tags = {"ircops": order.label}
        data = user_data(order.name, order.user, order.authorized_keys, order.host_key)
        known = inspect.signature(driver.create_node).parameters
        for what, value in (("label", order.label), ("tags", tags), ("user_data", data)):
            for name in NAMES[what]:
                if name in known and not (what == "user_data" and order.host_key is None):
                    given[name] = value
        if order.host_key and not known.keys() & set(NAMES["user_data"]):
            raise OpsError("this driver takes no user data; set [provider] seed = no")
        image = NodeImage(order.image, order.image, driver)
        size = NodeSize(order.size, order.size, 0, 0, 0, 0, driver) if order.size else None
        made = _asked(lambda: driver.create_node(order.name, size, image, **given), is_unsure=True)
        return self._seen(made)

    def list(self) -> list[Seen]:
        seen = (self._seen(node) for node in _asked(self._driver.list_nodes))
        return [one for one in seen if one.state not in ("terminated", "unknown")]

    def show(self, id: str) -> Seen | None:
        return next((seen for seen in self.list() if seen.id == id), None)

    def start(self, id: str) -> None:
        self._do("start_node", id)

    def stop(self, id: str) -> None:
        self._do("stop_node", id)

    def reboot(self, id: str) -> None:
        self._do("reboot_node", id)

    def destroy(self, id: str) -> None:
        if self._node(id) is not None:
            self._do("destroy_node", id)

    def resize(self, id: str, size: str) -> None:
        """Stopped, changed and started again, as EC2 wants it."""
        from libcloud.compute.base import NodeSize

        change = getattr(self._driver, "ex_change_node_size", None)
        if change is None:
            raise OpsError("this cloud's driver cannot resize a machine; make another one")
        node = self._found(id)
        was_running = self._seen(node).state == "running"
        if was_running:
            self._do("stop_node", id)
            _asked(lambda: self._wait_until_stopped(id))
        wanted = NodeSize(size, size, 0, 0, 0, 0, self._driver)
        try:
            _asked(lambda: change(node, wanted))
        finally:
            if was_running:
                self._do("start_node", id)

    def host_key(self, id: str) -> str:
        """From the console, where the driver has it."""
        console = getattr(self._driver, "ex_get_console_output", None)
        if console is None:
            return ""
        said = _asked(lambda: console(self._found(id)))
        return console_key(str(said.get("output") or ""))

    @cached_property
    def _driver(self) -> Any:
        try:
            from libcloud.compute.providers import get_driver
        except ImportError:
            raise OpsError("clouds need Apache Libcloud: pip install 'ircops[cloud]'") from None
        settings = self._settings
        options = {"timeout": TIMEOUT, **arguments(settings.options)}
        try:
            made = get_driver(settings.driver)
        except AttributeError:
            raise OpsError(f"Libcloud has no driver {settings.driver}; see its list") from None
        account, secret = str.__str__(settings.account), str.__str__(settings.secret)
        return _asked(lambda: made(account, secret or None, **options))

    def _seen(self, node: Any) -> Seen:
        public, private = list(node.public_ips or ()), list(node.private_ips or ())
        tags = node.extra.get("tags") or node.extra.get("metadata") or {}
        label = node.extra.get("client_token") or ""
        if isinstance(tags, dict):
            label = label or tags.get("ircops", "")
        addresses = private if self._settings.address == "private" else public + private
        address = next((one for one in addresses if one), "")
        return Seen(node.id, node.name or "", label, str(node.state), address)

    def _node(self, id: str) -> Any:
        nodes = _asked(self._driver.list_nodes)
        return next((node for node in nodes if node.id == id), None)

    def _found(self, id: str) -> Any:
        if (node := self._node(id)) is None:
            raise OpsError(f"there is no machine {id} any more")
        return node

    def _do(self, verb: str, id: str) -> None:
        """What it gives back says little: what went wrong is raised, and who wants to know how it is looks."""
        do, node = getattr(self._driver, verb), self._found(id)
        _asked(lambda: do(node))

    def _wait_until_stopped(self, id: str) -> None:
        from libcloud.utils.retry import Retry

        @Retry(timeout=STOPPING, retry_delay=2, retry_exceptions=(_Running,))  # type: ignore[no-untyped-call,untyped-decorator]
        def look() -> None:
            if self._seen(self._found(id)).state != "stopped":
                raise _Running

        look()


class _Running(Exception):
    pass


class Named(str):
    """A text that is an object with an id, too, for some arguments of some drivers are: ex_subnet of EC2."""

    @property
    def id(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        return str(self)


def arguments(text: str) -> dict[str, Any]:
    """`region=eu-central-1 secure=no port=5000 ex_security_groups=web,` as Python's: a comma makes a list.

    Raises OpsError.
    """
    found: dict[str, Any] = {}
    words = {"yes": True, "no": False}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals or (name in NUMBERS and not value.isdigit()):
            raise OpsError(f"{word} is not name=value, as Libcloud's driver takes them")
        if "," in value:
            found[name] = [part for part in value.split(",") if part]
        else:
            found[name] = int(value) if name in NUMBERS else words.get(value, Named(value))
    return found


def console_key(text: str) -> str:
    """The ed25519 key that cloud-init printed last, `ssh-ed25519 AAAA…`; "" if there is none."""
    found = [line.split()[:2] for block in KEYS.findall(text) for line in block.splitlines()]
    keys = [" ".join(words) for words in found if words[:1] == ["ssh-ed25519"] and words[1:]]
    return keys[-1] if keys else ""


def _asked(what: Callable[[], T], is_unsure: bool = False) -> T:
    """What the cloud answers. Raises OpsError, without the secrets that a request is full of.

    Where `is_unsure`, only what the cloud itself has refused is certain not to have been done.
    """
    import requests

    try:
        return what()
    except OpsError:
        raise
    except requests.RequestException as error:
        kind = Unsure if is_unsure else OpsError
        raise kind(f"the cloud cannot be reached: {type(error).__name__}") from error
    except Exception as error:  # drivers raise anything: plain Exceptions, XML's, Python's own
        log.info("a cloud's driver", exc_info=error)
        said = " ".join(str(getattr(error, "value", "") or error).split())[:SHOWN]
        said = said or f"{type(error).__name__} {getattr(error, 'code', '')}".strip()
        is_answer = type(error).__module__.startswith("libcloud.")
        kind = Unsure if is_unsure and not is_answer else OpsError
        raise kind(f"the cloud says: {said}") from error
