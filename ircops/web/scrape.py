"""What other programs look at: /healthz for whoever restarts or routes, /metrics for Prometheus.

Neither takes a link, so not everybody may: at an address of `[web] metrics`, whoever reaches that. At an address of
`listen`, this machine only, and only while no web server stands in front, for then everybody comes from this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ircops.config import Address, Web
from ircops.web.metrics import Metrics
from ircops.web.sources import Sources, State

NOT_HERE = (
    "Not from here: set [web] metrics = 127.0.0.1:9642 for an address that answers whoever asks."
)
PASSED_ON = {b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"}  # headers of a proxy


class Scrape:
    """On the loop, but for `metrics`."""

    def __init__(self, sources: Sources, settings: Callable[[], Web]) -> None:
        self._sources, self._settings = sources, settings
        self._metrics = Metrics(sources.database)

    def may(self, scope: Any) -> bool:
        """Whether the one who sent this request may see."""
        settings, address = self._settings(), scope["ircops.address"]
        if address in settings.metrics:
            return True
        is_passed_on = any(name in PASSED_ON for name, _ in scope["headers"])
        return not is_passed_on and _is_direct(settings) and _is_loopback(scope["client"])

    def health(self) -> tuple[int, str]:
        """Status and text: 200 while all works that the watchdog looks at, else 503 and why not."""
        reason = self._sources.why_not_alive()
        lines = ["ok" if not reason else f"not ok: {reason}", *self._sources.lines()]
        return (503 if reason else 200), "\n".join(lines) + "\n"

    def state(self) -> State:
        """What is now, which only the loop may look at."""
        return self._sources.state()

    def metrics(self, state: State) -> tuple[str, bytes]:
        """Media type and text, in a thread. Raises OpsError if the record cannot be read."""
        return self._metrics.text(state)


def _is_direct(settings: Web) -> bool:
    """Nothing says that a web server stands in front: links lead to this machine."""
    host = urlsplit(settings.base).hostname or ""
    return Address(host, 0).is_loopback or host in {address.host for address in settings.listen}


def _is_loopback(client: Any) -> bool:
    try:
        return bool(client) and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
