"""What a command finds in `ctx.obj`: the call it answers, and every part it may use."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the path builds an Ops; an Ops does not build the path
    from ircops.access import Access
    from ircops.approval import Approvals
    from ircops.call import Call, Sender, User
    from ircops.catalog import Catalog
    from ircops.config import Settings
    from ircops.jobs import Job, Jobs
    from ircops.ops.health import Health
    from ircops.record import Record
    from ircops.schedule import Scheduler
    from ircops.ssh.fanout import Fanout, Results
    from ircops.ssh.inventory import Inventory
    from ircops.transcript import Place, Transcript

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """The parts of a running bot, wired once by bot.py, replaced whole at a reload."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    inventory: Inventory
    fanout: Fanout
    health: Health
    catalog: Catalog
    access: Access
    approvals: Approvals
    jobs: Jobs
    record: Record
    transcript: Transcript
    shared_with: Callable[[Sender], list[Place]]  # the channels they are in with us, now
    schedule: Scheduler
    status: Callable[[], Mapping[str, str]]  # network -> how it is: `connected, lag 12 ms`
    reload: Callable[[], Awaitable[str]]  # read ini and commands again


@dataclass(frozen=True)
class Ops:
    """One call's view of the bot. Command bodies run in a worker thread."""

    call: Call
    user: User
    job: Job
    parts: Parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts, name)

    def on_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run `function(*arguments)` on the bot's loop, which owns all state, and give what it returns.

        Takes plain functions and coroutine functions; called from a worker thread.
        """

        async def there() -> Any:
            value = function(*arguments)
            return await value if inspect.isawaitable(value) else value

        return asyncio.run_coroutine_threadsafe(there(), self.parts.loop).result()

    def run(self, command: str | list[str], hosts: Any, **options: Any) -> Results:
        """Run `command` on `hosts` with this call's stop and environment; see `Fanout.run`."""
        environment = {"IRCOPS_USER": self.user.name, "IRCOPS_JOB": str(self.job.number)}
        results = self.parts.fanout.run(
            command, hosts, stop=self.call.stop, environment=environment, **options
        )
        self.job.runs.append(results)
        return results
