"""What a command finds in `ctx.obj`: the call it answers, and every part it may use."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # the path builds an Ops; an Ops does not build the path
    from ircops.access import Access
    from ircops.aftermath import Aftermath
    from ircops.approval import Approvals
    from ircops.call import Call, Sender, User
    from ircops.catalog import Catalog
    from ircops.config import Settings
    from ircops.jobs import Job, Jobs
    from ircops.ops.changes import Change
    from ircops.ops.graphs import Graphs
    from ircops.ops.health import Health
    from ircops.ops.inspection import Inspection
    from ircops.ops.locks import Locks
    from ircops.ops.maintenance import Maintenance
    from ircops.ops.reports import Reports
    from ircops.ops.servers import Servers
    from ircops.policy import Policy, Role
    from ircops.record import Entry, Record
    from ircops.schedule import Scheduler
    from ircops.ssh.fanout import Fanout
    from ircops.ssh.inventory import Inventory
    from ircops.ssh.results import Results
    from ircops.ssh.steps import Body
    from ircops.store.database import Database
    from ircops.store.samples import Samples
    from ircops.totp import Totp
    from ircops.transcript import Place, Transcript
    from ircops.turns import Turns
    from ircops.unanswered import Unanswered
    from ircops.web.links import Links

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """The parts of a running bot, wired once by bot.py, replaced whole at a reload."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    inventory: Inventory
    database: Database
    samples: Samples
    maintenance: Maintenance
    links: Links  # to pages of the bot's own web
    servers: Servers
    catalog: Catalog
    access: Access
    approvals: Approvals
    unanswered: Unanswered
    locks: Locks  # that people hold by hand
    turns: Turns  # who has, and who waits for, locks and shares
    totp: Totp
    jobs: Jobs
    record: Record
    transcript: Transcript
    shared_with: Callable[[Sender], list[Place]]  # the channels they are in with us, now
    account_now: Callable[[Sender], str | None]  # theirs at this moment; None: it cannot be seen
    schedule: Scheduler
    status: Callable[[], Mapping[str, str]]  # network -> how it is: `connected, lag 12 ms`
    aftermath: Aftermath
    handle: Callable[[Call], Awaitable[int]]  # the path, for one more call
    reload: Callable[[], Awaitable[str]]  # read ini and commands again

    @cached_property
    def fanout(self) -> Fanout:
        """Made for the first command that reaches a host: paramiko costs a quarter of a second and 15 MiB."""
        from ircops.ssh.fanout import Fanout
        from ircops.ssh.pool import Pool

        return Fanout(Pool(self.settings.ssh, self.inventory), self.settings.ssh)

    # Who asks for none of these does without their modules; what they know is in the database.

    @cached_property
    def health(self) -> Health:
        from ircops.ops.health import Health

        return Health(self.settings, self.inventory.resolve)

    @cached_property
    def inspection(self) -> Inspection:
        from ircops.ops.checks import Checks
        from ircops.ops.inspection import Inspection

        checks = Checks(self.settings.checks, self.inventory)
        return Inspection(self.health, checks, self.samples, self.reports, self.maintenance)

    @cached_property
    def reports(self) -> Reports:
        from ircops.ops.reports import Reports

        return Reports(self.database)

    @cached_property
    def graphs(self) -> Graphs:
        from ircops.ops.graphs import Graphs

        return Graphs(self.samples, self.health.limits)

    def close(self) -> None:
        """End what runs on hosts, and hang up; blocks."""
        if "fanout" in vars(self):
            self.fanout.close()


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

    def run(
        self, command: str | list[str], hosts: Any, *, doing: str = "", **options: Any
    ) -> Results:
        """Run `command` on `hosts` with this call's stop and environment; see `Fanout.run`.

        `doing` is said with the hosts before the first is touched: `restarting nginx on 12 hosts: web[1-12]`.
        With `detach=True` it goes on there whatever becomes of the bot, and the next bot tells the end.
        """
        return self._go(self.parts.fanout.run, command, hosts, doing, options)

    def each(self, body: Body, hosts: Any, *, doing: str = "", **options: Any) -> Results:
        """Call `body` with a `Steps` for each of `hosts`, for several steps on one; see `Fanout.each`."""
        return self._go(self.parts.fanout.each, body, hosts, doing, options)

    def _go(
        self,
        start: Callable[..., Results],
        what: object,
        hosts: Any,
        doing: str,
        options: dict[str, Any],
    ) -> Results:
        self._check_hosts(hosts)
        hosts = self.parts.inventory.resolve(hosts) if isinstance(hosts, str) else hosts
        if doing:
            from ircops.ssh.folded import counted

            click.echo(f"{doing} on {counted(hosts)}")
        options["spool"] = self.job.spool(self.parts.settings.ssh.spool)
        if not options.get("fast"):
            said = self.parts.record.redact(self.call.line)
            options["note"] = f"job {self.job.number} by {self.user}: {said}"
        if options.pop("detach", False):
            timeout = options.get("timeout") or 0.0
            options["detach"] = self.parts.aftermath.detach(self.job, hosts, timeout)
        results = start(
            what,
            hosts,
            stop=self.call.stop,
            tell=self.call.reply.progress,
            missing=self.job.report,
            environment={"IRCOPS_USER": self.user.name, "IRCOPS_JOB": str(self.job.number)},
            **options,
        )
        self.job.runs.append(results)
        return results

    def say_nothing(self) -> None:
        """End without a word, which is otherwise said to be `ok`: nobody asked, and there is no news."""
        self.call.reply.lines += 1

    def last_here(self, is_mine: bool = False) -> Job:
        """The last job that was called where this one is, by the caller if so. On the loop."""
        where = self.call.where  # nowhere is private
        return self.parts.jobs.last(where, self.user if is_mine or not where else None)

    async def call_too(self, line: str) -> int:
        """Have the caller say `line` as well, through the whole path, and give its exit code. On the loop."""
        return await self.parts.handle(replace(self.call, line=line))

    def changes(self, entries: Iterable[Entry], hosts: Collection[str] = ()) -> list[Change]:
        """What changed things, by these entries of the record; see `ops/changes.py`."""
        from ircops.ops.changes import changes

        roles: dict[str, Role] = {}
        # the way through all commands there are; what it would show is not asked for
        self.parts.catalog.overview(lambda name, policy: bool(roles.update({name: policy.role})))
        return changes(entries, roles, hosts)

    def may(self, command: str, policy: Policy) -> bool:
        """Whether the caller might run `command`, with some arguments."""
        return self.parts.access.may(self.user, self.call)(command, policy)

    def _check_hosts(self, hosts: Any) -> None:
        """A body may reach hosts that its arguments do not name, all of them for example. Raises Denied."""
        access, catalog = self.parts.access, self.parts.catalog
        if not access.guards_hosts:
            return
        if isinstance(hosts, (str, list, tuple)):
            named = hosts if isinstance(hosts, str) else ",".join(hosts)
            hosts = self.parts.inventory.resolve(named)
        context = click.get_current_context()
        read = catalog.read(context)
        access.check(self.user, read.name, read.policy, self.call, read.arguments, hosts)
