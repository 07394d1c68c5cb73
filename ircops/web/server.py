"""The doors of the web: `[web] listen` and `metrics`, opened beside everything else and tried again when one is taken.

The bot does without one that cannot be opened: it says so in the log and in the `[bot] trouble` channels, and
links are not given out meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ircops.config import Address, Settings
from ircops.web.links import Links, secret

if TYPE_CHECKING:
    from ircops.ops import Parts
    from ircops.web.sources import Sources

log = logging.getLogger(__name__)

RETRY = 10.0  # seconds between two tries to open a door
AT_ONCE = 100  # requests; more are told to come again
IDLE = 5  # seconds a connection may stay without a request
FAREWELL = 1  # seconds for what is being sent when a door closes


class Web:
    """On the loop. Before `open` there are links to nowhere, that is, none."""

    def __init__(
        self,
        settings: Settings,
        parts: Callable[[], Parts],
        sources: Sources,
        trouble: Callable[[str], object],
    ) -> None:
        """`trouble` hears of a door that cannot be opened, once, and when it is."""
        self._parts, self._sources, self._trouble = parts, sources, trouble
        self._is_running = False
        self._doors: dict[Address, _Door] = {}
        self._app: Any = None
        self._key = b""
        self._set(settings)

    def _set(self, settings: Settings) -> None:
        web = self._settings = settings.web
        is_open = lambda: any(self._is_open(door) for door in web.listen)  # noqa: E731
        self.links = Links(web, lambda: self._key, is_open)

    def read_key(self, settings: Settings) -> None:
        """Have what signs links at hand, before any door opens. Raises OpsError."""
        if settings.web.listen:
            self._key = secret(settings.bot.state)

    def _is_open(self, address: Address) -> bool:
        return address in self._doors and self._doors[address].is_open

    def open(self) -> None:
        """Open the doors, after `read_key`; those that cannot be are tried again until `close`."""
        self._is_running = True
        self._reconcile()

    def reload(self, settings: Settings) -> None:
        """Take new settings: doors that are no longer named are closed. Raises OpsError, and all stays."""
        if self._is_running:
            self.read_key(settings)
        self._set(settings)
        if self._is_running:
            self._reconcile()

    async def close(self) -> None:
        """Close all doors; what is being sent has a second."""
        self._is_running = False
        self._reconcile()
        await asyncio.gather(*(door.task for door in self._doors.values()), return_exceptions=True)
        if self._app is not None:
            self._app.close()

    def _reconcile(self) -> None:
        web = self._settings
        wanted = {*web.listen, *web.metrics} if self._is_running else set()
        for address, door in list(self._doors.items()):
            if address not in wanted:
                door.shut()
        for address in wanted:
            if address not in self._doors:
                self._open(address)

    def _open(self, address: Address) -> None:
        if self._app is None:  # a bot without pages starts without all this
            from ircops.web.site import Site

            self._app = Site(self._parts, lambda: self.links, lambda: self._settings, self._sources)
        door = _Door(address, self._app.at(address), self._trouble)
        self._doors[address] = door
        door.task.add_done_callback(lambda task: self._shut(address, door, task))

    def _shut(self, address: Address, door: _Door, task: asyncio.Task[None]) -> None:
        del self._doors[address]
        if not task.cancelled() and (error := task.exception()):
            log.error("the web at %s has failed", address, exc_info=error)
        elif self._is_running and door.is_shut:  # a reload may want it again
            self._reconcile()


class _Door:
    """One address, and the task that keeps it open."""

    def __init__(self, address: Address, app: Any, trouble: Callable[[str], object]) -> None:
        self._address, self._app, self._trouble = address, app, trouble
        self._server: Any = None
        self.is_shut = False
        self.task = asyncio.create_task(self._keep_open())

    @property
    def is_open(self) -> bool:
        return self._server is not None and self._server.started and not self._server.should_exit

    def shut(self) -> None:
        """Let its task come to an end."""
        self.is_shut = True
        if self._server is not None:
            self._server.should_exit = True
        else:
            self.task.cancel()

    async def _keep_open(self) -> None:
        sockets = await self._bound()
        self._server = server = _server(self._app)
        log.info("the web is at http://%s/", self._address)
        await server.serve(sockets)

    async def _bound(self) -> list[socket.socket]:
        """The sockets of the address, once they can be had."""
        told = ""
        while True:
            try:
                found = await self._bind()
            except OSError as error:
                known = error.errno is not None and error.errno > 0  # else of a name, not a number
                reason = (os.strerror(error.errno or 0) if known else str(error.strerror)).lower()
                if reason != told:
                    told = reason
                    self._tell(logging.ERROR, f"{reason}; free it, or set [web] to another")
                await asyncio.sleep(RETRY)
            else:
                if told:
                    self._tell(logging.INFO, "open now")
                return found

    async def _bind(self) -> list[socket.socket]:
        """Bind every address that the name stands for, or none."""
        loop = asyncio.get_running_loop()
        host, port = self._address.host, self._address.port
        known = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with contextlib.ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.create_server(place[:2], family=family, backlog=128))
                for family, _, _, _, place in known
            ]
            stack.pop_all()
        return sockets

    def _tell(self, level: int, what: str) -> None:
        sentence = f"the web at {self._address}: {what}"
        log.log(level, "%s", sentence)
        self._trouble(sentence)


def _server(app: Any) -> Any:
    """A uvicorn that leaves signals, logging and the process to the bot."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # they are the bot's

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # anybody can send what is no HTTP
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom it names does not matter: the link decides
        limit_concurrency=AT_ONCE,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=FAREWELL,
    )
    return Server(config)
