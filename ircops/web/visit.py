"""What a page is made of: a visit goes in, content comes out. Pages are made in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ircops.web.links import Links

if TYPE_CHECKING:
    from ircops.ops import Parts

T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """Whole, or in pieces of text that are made while they are sent."""

    media_type: str
    body: bytes | Iterator[str]
    close: Callable[[], object] = lambda: None  # of the pieces, also of a reader who left


@dataclass(frozen=True)
class Visit:
    """One look at a page by somebody who has its link."""

    parts: Parts
    links: Links
    expiry: int  # of the link, in seconds since 1970
    path: dict[str, Any]  # what the address names
    query: dict[str, str]

    def link(self, page: str) -> str:
        """To another page, for as long as they may see this one."""
        return self.links.until(page, self.expiry)

    def on_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the bot's loop owns is asked for there."""

        async def there() -> T:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(there(), self.parts.loop).result()

    @property
    def until(self) -> datetime:
        return datetime.fromtimestamp(self.expiry).astimezone()
