"""Builds the parts from the settings, starts and stops them: the only wiring."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ircops import ini, rehearsal, service
from ircops.access import Access
from ircops.aftermath import Aftermath
from ircops.approval import Approvals
from ircops.call import Call, Sender
from ircops.catalog import Catalog
from ircops.config import Settings
from ircops.console import Console, own_user
from ircops.copies import Copies, targets
from ircops.dispatch import Dispatch
from ircops.errors import OK, BadConfig, OpsError, Refused
from ircops.irc import Network
from ircops.jobs import Jobs
from ircops.notices import Notices
from ircops.ops import Parts
from ircops.ops.lifetimes import Lifetimes
from ircops.ops.locks import Locks
from ircops.ops.machines import Machines
from ircops.ops.maintenance import Maintenance
from ircops.ops.offers import Offers, lost
from ircops.ops.servers import Servers
from ircops.quiet import Quiet
from ircops.record import Record
from ircops.redact import secrets_of
from ircops.rules import compiled
from ircops.runner import PATIENCE, Runner
from ircops.schedule import Scheduler
from ircops.ssh.inventory import Inventory
from ircops.store.database import Database
from ircops.store.samples import Samples
from ircops.terminal import installed
from ircops.totp import Totp
from ircops.transcript import Place, Transcript
from ircops.turns import Turns
from ircops.unanswered import Unanswered
from ircops.watched import unknown_hosts
from ircops.web.server import Web
from ircops.web.sources import Sources

if TYPE_CHECKING:  # loaded for the first watch
    from ircops.ops.watch import Watches

log = logging.getLogger(__name__)

GRACE = 20.0  # seconds running jobs have to end by themselves at a shutdown


def check(settings: Settings, inventory: Inventory | None = None) -> Catalog:
    """Find every fault that can be known without reaching anything; BadConfig has them all."""
    inventory = inventory or Inventory(settings)
    faults, _ = inventory.check()
    faults += lost(settings, inventory)
    rules = compiled(settings, inventory.resolve, faults)
    try:
        catalog = Catalog(settings)
    except BadConfig as error:
        raise BadConfig(faults + error.faults) from None
    faults += rules.faults(catalog.root, settings)
    faults += unknown_hosts(settings, inventory.resolve)
    faults += rehearsal.faults(settings, catalog, Access(settings, rules=rules), inventory)
    if faults:
        raise BadConfig(faults)
    return catalog


class Bot:
    """One bot: its parts between `start` and `stop`; with `serve` also its doors."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.bot.database, settings.bot.state)
        self._machines = Machines(self.database)
        self._inventory = Inventory(settings, self._machines.snapshot)
        self._catalog = check(settings, self._inventory)
        self._record = Record(self.database, secrets_of(settings))
        self._transcript = Transcript(self.database, secrets_of(settings), settings.bot.transcript)
        self._samples = Samples(self.database)
        self._maintenance = Maintenance(self.database)
        self._quiet = Quiet(lambda name: self.settings.channel(name))
        self._watches: Watches | None = None
        self._totp = Totp(settings.bot.state)
        self._runner = Runner()
        self._networks: dict[str, Network] = {}
        self._notices = Notices(lambda: self.settings, self._networks, self._quiet)
        self._tasks: set[asyncio.Task[object]] = set()
        self._over = asyncio.Event()
        self._is_serving = False
        self._open = contextlib.ExitStack()
        self.parts: Parts
        self.dispatch: Dispatch

    async def start(self) -> None:
        """Open the database and the record, build the path. Raises OpsError in a sentence."""
        _make_state(self.settings.bot.state)
        await asyncio.to_thread(self.database.open)
        loop = asyncio.get_running_loop()
        tell = self._notices.record_trouble
        self.database.trouble = lambda fault: loop.call_soon_threadsafe(tell, fault)
        self._open.enter_context(installed())
        await self._record.open()
        self._transcript.open()
        await asyncio.to_thread(self._machines.load)
        self._scheduler = Scheduler(
            self.settings.schedules, self._handle, self._notices.unasked, self.database
        )
        await self._scheduler.load()
        self._jobs = Jobs(
            self.settings.bot.state / "jobs", clean=lambda line: self._record.redact(line)
        )
        self._aftermath = Aftermath(self.database, self._record, self._jobs, self._notices.to)
        self._unanswered = Unanswered(
            self.database, lambda line: self._record.redact(line), self._notices.to
        )
        sources = Sources(self.database, self._networks, lambda: self.parts, self._why_not_alive)
        self._web = Web(self.settings, lambda: self.parts, sources, self._notices.warn)
        self._locks = Locks(self.database, self._notices.to)
        await self._locks.load()
        self._turns = Turns(self._locks)
        self._lifetimes = Lifetimes(self._machines, self._record, self._notices.to)
        self.parts = self._build(self.settings, self._catalog, self._inventory)
        self.dispatch = Dispatch(self.parts, self._runner)

    def _handle(self, call: Call) -> Coroutine[Any, Any, int]:
        return self.dispatch.handle(call)

    def _build(self, settings: Settings, catalog: Catalog, inventory: Inventory) -> Parts:
        """The parts that the settings make; state that must outlive a reload is handed on."""
        before = getattr(self, "parts", None)
        rules = compiled(settings, inventory.resolve, [])  # `check` has told the faults
        self._samples.keep = timedelta(seconds=settings.health.keep)
        return Parts(
            settings=settings,
            loop=asyncio.get_running_loop(),
            inventory=inventory,
            database=self.database,
            samples=self._samples,
            maintenance=self._maintenance,
            links=self._web.links,
            servers=Servers(
                Offers(settings.providers, inventory, settings.ssh.key), self._machines, inventory
            ),
            catalog=catalog,
            access=Access(settings, frozenset({"root", own_user()}), rules, self._totp),
            approvals=before.approvals if before else Approvals(),
            unanswered=self._unanswered,
            locks=self._locks,
            turns=self._turns,
            totp=self._totp,
            jobs=self._jobs,
            aftermath=self._aftermath,
            record=self._record,
            transcript=self._transcript,
            shared_with=self._shared_with,
            account_now=self._account_now,
            schedule=self._scheduler,
            status=lambda: {name: network.status for name, network in self._networks.items()},
            handle=self._handle,
            reload=self.reload,
        )

    async def serve(self) -> int:
        """Open the doors and stay until told to stop; gives the exit code."""
        console = Console(self.settings.bot.console, self._handle, self.dispatch.following)
        self._web.read_key(self.settings)
        left = await asyncio.to_thread(self._aftermath.read)
        if left is not None:
            await asyncio.to_thread(self._lifetimes.take_over)
        await console.start()
        await self._record.note("started")
        self._listen_to_signals()
        for name in self.settings.networks:
            self._networks[name] = Network(
                name,
                self.settings,
                self._handle,
                write=self._transcript.add,
                trouble=partial(self._notices.trouble, name),
            )
        running = [asyncio.create_task(network.run()) for network in self._networks.values()]
        await self._scheduler.start()
        self._is_serving = True
        await self._watch()
        self._keep(self._quiet.run())
        copies = Copies(self.database, targets(self.settings.bot.syslog, self.settings.bot.copy))
        copies.open()
        self._web.open()
        service.notify("READY=1")
        self._keep(self._aftermath.run(left, lambda: self.parts))
        self._keep(self._unanswered.ask_again(self._handle))
        self._keep(self._lifetimes.run(lambda: self.parts))
        self._keep(service.watch(self._why_not_alive, self._one_line))
        try:
            return await self._until_over(running)
        finally:
            service.notify("STOPPING=1")
            self._is_serving = False
            await self._scheduler.stop()
            if self._watches is not None:
                await self._watches.stop()
            await console.stop()
            await self._web.close()
            await self._end_jobs()
            await asyncio.gather(
                *(n.stop("stopped by its operator") for n in self._networks.values())
            )
            for task in (*running, *self._tasks):
                task.cancel()
            await self._record.note("stopped")
            await asyncio.to_thread(copies.close)

    def end(self) -> None:
        """Let `serve` come to its end."""
        self._over.set()

    async def stop(self) -> None:
        """Close what `start` opened."""
        self._unanswered.is_closing = True
        self._jobs.hand_over()
        self._jobs.stop_all("the bot is stopping")
        self._runner.close()
        await asyncio.to_thread(self.parts.close)
        await self._transcript.close()
        await self._record.close()
        await asyncio.to_thread(self.database.close)
        self._jobs.close()
        self._open.close()

    async def reload(self) -> str:
        """Read ini and commands again; the old ones stay, and BadConfig says why, if the new have faults."""
        settings = ini.load(self.settings.path)
        inventory = Inventory(settings, self._machines.snapshot)
        catalog = await asyncio.to_thread(check, settings, inventory)  # inventories may be programs
        self._web.reload(settings)
        await self._scheduler.reload(settings.schedules)
        old, self.settings = self.parts, settings
        self.parts = self.dispatch.parts = self._build(settings, catalog, inventory)
        self._record.hide(secrets_of(settings))
        self._transcript.set(secrets_of(settings), settings.bot.transcript)
        for name, network in self._networks.items():
            if name in settings.networks:
                network.reload(settings)
        if self._is_serving:
            await self._watch()
        self._keep(self._retire(old))
        await self._record.note("reloaded")
        changed = set(settings.networks) ^ set(self._networks)
        return f"read {settings.path} again" + (
            f"; networks added or removed need a restart: {', '.join(sorted(changed))}"
            if changed
            else ""
        )

    async def _watch(self) -> None:
        """Watch what the settings of now say, over the connections of now."""
        if self._watches is None and self.settings.watches:
            from ircops.ops.watch import Watches

            self._watches = Watches(lambda: self.parts, self._notices.to, self._quiet.is_quiet)
        if self._watches is not None:
            await self._watches.reload()

    async def _retire(self, old: Parts) -> None:
        """Close the old connections when the jobs that use them have ended."""
        mine = old.jobs.running
        while any(job.ended is None for job in mine):
            await asyncio.sleep(1)
        await asyncio.to_thread(old.close)

    async def _until_over(self, running: list[asyncio.Task[None]]) -> int:
        """Wait for the stop, or for every network to refuse us; gives the exit code."""
        over: asyncio.Task[object] = asyncio.create_task(self._over.wait())
        waiting: set[asyncio.Task[object]] = {over, *running}
        refused: list[Refused] = []
        while not over.done() and (not running or len(refused) < len(running)):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {over}:
                error = task.exception()
                if not isinstance(error, Refused):
                    raise error or RuntimeError("a network ended by itself")
                log.error("%s", error.message)
                refused.append(error)
        over.cancel()
        return refused[0].exit_code if refused and len(refused) == len(running) else OK

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._keep(self._reload_and_log()))

    async def _reload_and_log(self) -> None:
        service.notify("RELOADING=1")
        try:
            log.info("%s", await self.reload())
        except OpsError as error:
            log.error("kept the old settings, the new have faults:\n%s", error.message)
        service.notify("READY=1")

    async def _end_jobs(self) -> None:
        """Let running jobs end, then tell the rest to; what waits does not run any more, what is detached goes on."""
        jobs = self._jobs
        jobs.hand_over()
        self._unanswered.is_closing = True

        def is_idle() -> bool:  # people go on asking meanwhile
            jobs.stop_all("the bot is shutting down", ("waiting", "queued"))
            return not jobs.running

        if await _within(GRACE, is_idle):
            return
        log.warning(
            "%d jobs still ran and were told to stop", jobs.stop_all("the bot is shutting down")
        )
        await _within(PATIENCE + 1, lambda: not jobs.running)

    def _why_not_alive(self) -> str:
        """What has stopped working; "" while PONGs come, the scheduler ticks and jobs can start."""
        dead = [
            f"network {name}: {n.status}" for name, n in self._networks.items() if not n.is_alive
        ]
        dead += self._watches.why_not_alive if self._watches else []
        return "; ".join(dead + ["the scheduler does not tick"] * (not self._scheduler.is_alive))

    def _one_line(self) -> str:
        networks = ", ".join(f"{name} {network.status}" for name, network in self._networks.items())
        return f"{networks or 'no networks'}; {len(self.parts.jobs.running)} jobs"

    def _shared_with(self, sender: Sender) -> list[Place]:
        """The channels of ours that `sender` is in at this moment."""
        network = self._networks.get(sender.network)
        shared = network.shared_with(sender.mask) if network else []
        return [(sender.network, channel) for channel in shared]

    def _account_now(self, sender: Sender) -> str | None:
        """The account that `sender` has at this moment; None if that cannot be seen."""
        network = self._networks.get(sender.network)
        return network.account_of(sender.person) if network else None

    def _keep(self, work: Awaitable[object]) -> None:
        """Run `work` beside everything else; a fault in it is logged."""
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a background task failed", exc_info=error)


def _make_state(state: Path) -> None:
    try:
        state.mkdir(
            parents=True, exist_ok=True, mode=0o710
        )  # the bot's group may reach the console
    except OSError as error:
        raise OpsError(
            f"cannot make {state}: {error.strerror}; set [bot] state to a directory you own"
        ) from None


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait for `condition` to hold; False if it does not within `seconds`."""
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        await asyncio.sleep(0.1)
    return condition()
