"""Which page is where, and who may see it: with a link that is ours and not over. On the loop; what blocks, in threads.

Pages are read only, need neither cookies nor scripts, and load nothing from elsewhere, which their headers
make sure of, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ircops.config import Address
from ircops.config import Web as Settings
from ircops.errors import OpsError, sentence
from ircops.web import graph_page, health_page, job_page, scrape
from ircops.web.links import Links
from ircops.web.templates import HASHES, page
from ircops.web.visit import Content, Visit

if TYPE_CHECKING:
    from ircops.ops import Parts
    from ircops.web.sources import Sources

T = TypeVar("T")

THREADS = 4  # for all pages together, so that they leave the machine to commands
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src {HASHES}; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # it would give the link away
    "x-robots-tag": "noindex, nofollow",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
OVER = "This link has expired: ask the bot for a new one where you got it."
FORGED = "There is no such page, or the link is not whole: copy all of it, to its last letter."


class Site:
    """The pages, as an ASGI application for each address."""

    def __init__(
        self,
        parts: Callable[[], Parts],
        links: Callable[[], Links],
        settings: Callable[[], Settings],
        sources: Sources,
    ) -> None:
        self._parts, self._links, self._settings = parts, links, settings
        self._threads = ThreadPoolExecutor(THREADS, "web")
        self._scrape = scrape.Scrape(sources, self._settings)
        self._app = Starlette(
            routes=[
                Route("/", self._index),
                Route("/robots.txt", self._robots),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
                Route("/job/{number:int}", self._signed(job_page.page_of)),
                Route("/job/{number:int}.txt", self._signed(job_page.text_of)),
                Route("/job/{number:int}/{name}", self._signed(job_page.text_of_host)),
                Route("/graph/{hosts}/{measure:path}", self._signed(graph_page.page_of)),
                Route("/health/{number:int}", self._signed(health_page.page_of)),
            ],
            exception_handlers={HTTPException: _http_error, OpsError: _ops_error, 500: _our_bug},
        )
        self._app.router.redirect_slashes = False  # `disk:/` ends in one

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def at(self, address: Address) -> Any:
        """The application for one address."""

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            own = urlsplit(self._settings().base_url).path.rstrip("/")
            if scope["path"].startswith(f"{own}/"):  # else a web server in front took it away
                scope["path"] = scope["path"].removeprefix(own)
            scope["ircops.address"] = address

            async def send_with_headers(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), *RAW_HEADERS]
                await send(message)

            await self._app(scope, receive, send_with_headers)

        return answer

    def _signed(self, make: Callable[[Visit], Content]) -> Callable[[Request], Awaitable[Response]]:
        """A page for who has its link."""

        async def endpoint(request: Request) -> Response:
            links = self._links()
            path = request.scope["path"].removeprefix("/")
            expiry = links.expiry(path, request.scope["query_string"].decode("latin-1"))
            if expiry is None or request.scope["ircops.address"] not in self._settings().listen:
                raise HTTPException(404, FORGED)
            if links.is_over(expiry):
                raise HTTPException(410, OVER)
            query = dict(request.query_params)
            visit = Visit(self._parts(), links, expiry, request.path_params, query)
            content = await self._in_thread(make, visit)
            if isinstance(content.body, bytes):
                return Response(content.body, media_type=content.media_type)
            if request.method == "HEAD":
                return StreamingResponse(iter(()), media_type=content.media_type)
            pieces = self._pulled(content.body, content.close)
            return StreamingResponse(pieces, media_type=content.media_type)

        return endpoint

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *arguments))

    async def _pulled(
        self, pieces: Iterator[str], close: Callable[[], object]
    ) -> AsyncIterator[bytes]:
        """Have the next piece made when the one before has left: a reader who is slow costs no memory.

        One who leaves may do so while the next is made in its thread: they are closed after that.
        """
        turn = threading.Lock()

        def make() -> str | None:
            with turn:
                return next(pieces, None)

        def end() -> None:
            with turn:
                close()

        try:
            while (piece := await self._in_thread(make)) is not None:
                yield piece.encode(errors="replace")
        finally:
            try:
                self._threads.submit(end)
            except RuntimeError:  # the web is closed, and with it its threads
                end()

    async def _index(self, request: Request) -> Response:
        return _note(
            200, "ircops", "Pages here are for those who got a link to one in the channel."
        )

    async def _robots(self, request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    async def _healthz(self, request: Request) -> Response:
        self._check_scraper(request)
        code, text = self._scrape.health()
        return PlainTextResponse(text, code)

    async def _metrics(self, request: Request) -> Response:
        self._check_scraper(request)
        try:
            made = await self._in_thread(self._scrape.metrics, self._scrape.state())
        except OpsError as error:
            raise HTTPException(503, sentence(error)) from None
        media_type, body = made
        return Response(body, media_type=media_type)

    def _check_scraper(self, request: Request) -> None:
        if not self._scrape.may(request.scope):
            raise HTTPException(404, scrape.NOT_HERE)


def _note(code: int, title: str, text: str) -> Response:
    return Response(page("note.html", title=title, text=text), code, media_type="text/html")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    titles = {404: "Nothing here", 410: "Expired", 405: "Only to be read"}
    return _note(error.status_code, titles.get(error.status_code, "Sorry"), error.detail)


async def _our_bug(request: Request, error: Exception) -> Response:
    return _note(500, "Our fault", "The bot's log has what went wrong here.")


async def _ops_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OpsError)
    said = sentence(error)
    return _note(404, "Nothing to see", f"{said[:1].upper()}{said[1:]}.")
