"""The path of a call: identify, find, authorise, parse, approve, record, run, reply, record.

Doors (IRC, console, schedule) make a `Call` and hand it to `handle`; no call skips a stage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import click
from click.exceptions import Exit

from ircops.call import Call, Sender, User
from ircops.catalog import Found, Reading, links_of
from ircops.config import Bot
from ircops.errors import FAILED, OK, Denied, HandedOver, Stopped, sentence
from ircops.jobs import Job
from ircops.lanes import Lanes
from ircops.ops import Ops, Parts
from ircops.plan import Plan
from ircops.record import Open
from ircops.rules import values_of
from ircops.runner import Outcome, Prepared, Runner
from ircops.turns import SHARE

log = logging.getLogger(__name__)


class Dispatch:
    """Takes calls from words to reply. `parts` is replaced whole when the settings are read again."""

    def __init__(self, parts: Parts, runner: Runner) -> None:
        self.parts = parts
        self._runner = runner
        self._lanes = Lanes()
        self._turns = parts.turns
        self._calls: dict[int, Call] = {}  # those that are not over, by their id()

    async def handle(self, call: Call) -> int:
        """Take one call to its end and give its exit code; never raises. Every way out is on the record."""
        if self._answers_a_question(call):
            return OK
        async with self.parts.record.entry(call) as entry, self._lanes.turn(call):
            with self._open(call):
                return await self._answer(call, entry)

    def following(self, call: Call) -> list[str]:
        """The words that may follow the line of `call`: commands that its sender may run there."""
        access = self.parts.access
        may = access.may(access.identify(call.sender), call)
        return self.parts.catalog.following(call.line.split(), may)

    async def _answer(self, call: Call, entry: Open) -> int:
        try:
            return await self._take(call, entry)
        except Exit as end:  # --help said it all while the words were parsed
            entry.finished("ok", end.exit_code)
            return end.exit_code
        except HandedOver as error:
            entry.is_handed_over = True
            call.reply.report(f"job {entry.number} ({call.line}) {sentence(error)}")
            return OK
        except click.ClickException as error:  # a sentence for the person, ours or click's
            entry.failed(error)
            call.reply.error(self.parts.record.redact(sentence(error)))
            return error.exit_code
        except Exception:  # our bug: the log gets it, the channel a number
            log.exception("call %s: %s", entry.number, call.line)
            entry.failed("internal error")
            call.reply.error(f"internal error; the bot's log has it under call {entry.number}")
            return FAILED

    async def _take(self, call: Call, entry: Open) -> int:
        """The stages, in order. One thread takes all that follow if nobody has to be asked first."""
        parts = self.parts
        entry.user = user = parts.access.identify(call.sender)
        found = parts.catalog.find(call.line, parts.access.may(user, call))
        entry.command = found.name
        parts.access.check(user, found.name, found.policy, call)
        job = parts.jobs.begin(entry.number, user, call, found.name)
        call.reply.point_to(lambda: self.parts.links.to(f"job/{job.number}"))
        with _ended(job, parts):
            prepared, outcome = await self._runner.prepare(
                job, partial(self._prepare, found, job, entry), entry.begin, entry.start
            )
            if prepared.plan is not None and prepared.is_dry:
                plan = prepared.plan
                call.reply.say(f"would run {plan.subject}; it asks for {plan.demands}")
                job.outcome = "ok"
                entry.finished("dry run")
                return OK
            if outcome is None:
                outcome = await self._run(prepared, job, entry)
            job.outcome = outcome.text
            if not call.reply.lines:  # silence could mean anything
                call.reply.say(outcome.text)
            entry.finished(outcome.text, outcome.exit_code, outcome.digest, outcome.lines)
            return outcome.exit_code

    async def _run(self, prepared: Prepared, job: Job, entry: Open) -> Outcome:
        """Run what is not free to run at once: with everybody's consent, and in its turn."""
        policy = prepared.policy
        if policy.approvals or policy.confirm:
            prepared = await self._consented(prepared, job, entry)
        context, plan = prepared.context, prepared.plan
        assert plan is not None  # it is not free

        def start() -> None:  # in its thread, however long it waited for that
            self._check(self.parts.catalog.read(context), job.call)
            entry.start()

        reply = job.call.reply
        async with self._turns.taken(job, _wants(plan, self.parts.settings.bot)):
            if job.state == "queued":  # for days, it may be
                self._check_account(job.call)
            said = reply.lines  # that it waits, or waited
            outcome = await self._runner.run(prepared, job, bool(job.hosts), start)
        if said and reply.lines == said:  # it was silent after that
            reply.say(outcome.text)
        return outcome

    def _prepare(
        self, found: Found, job: Job, entry: Open, before: Prepared | None = None
    ) -> Prepared:
        """Parse, look at the rights with all that is known then, and freeze the plan. In a worker thread.

        After `before`, what people were asked for is not asked for again.
        """
        call, parts = job.call, self.parts
        ops, catalog = Ops(call, job.user, job, parts), parts.catalog
        context = before.context if before and _asks(before.context) else catalog.parse(found, ops)
        reading = catalog.read(context)
        policy = reading.policy
        entry.command = job.command = reading.name
        entry.hosts = job.hosts = str(reading.hosts or "")
        self._check(reading, call)  # arguments, hosts and an inner command may ask for more
        locks = _filled(policy.lock, context, reading.hosts)
        is_dry = catalog.is_dry(context)
        needs_consent = bool(policy.approvals or policy.confirm)
        is_shown = needs_consent or is_dry
        if not (is_shown or locks or job.hosts or before):
            return Prepared(context, policy, None)
        facts = policy.facts(ops, reading.arguments) if policy.facts and is_shown else {}
        line = call.line.replace("--dry-run ", "", 1) if is_dry else call.line
        plan = Plan(
            number=entry.number,
            asker=job.user.name,
            place=f"{call.sender.network}/{call.where}",
            line=parts.record.redact(line) if is_shown else line,
            command=job.command,
            arguments=values_of(reading.arguments),
            hosts=job.hosts,
            locks=locks,
            facts=facts,
            policy=policy,
        )
        return Prepared(context, policy, plan, is_dry)

    async def _consented(self, prepared: Prepared, job: Job, entry: Open) -> Prepared:
        """Wait until everybody needed has said yes to the plan, and see that it is still the same."""
        parts, call, plan = self.parts, job.call, prepared.plan
        assert plan is not None
        reading = parts.catalog.read(prepared.context)

        def judge(user: User, sender: Sender) -> str:
            asked = replace(call, sender=sender)
            access = self.parts.access
            verdict = access.judge(
                user, plan.command, plan.policy, asked, reading.arguments, reading.hosts
            )
            return verdict.refusal

        entry.plan = plan.digest
        await entry.asked()
        seconds = parts.approvals.expiry if call.patience is None else call.patience
        async with parts.unanswered.kept(entry.number, call, seconds):
            entry.approvers = await parts.approvals.wait(plan, job.user, call, judge, seconds)
        self._check_account(call)
        found = self.parts.catalog.find(call.line)  # it may have been read again
        now, _ = await self._runner.prepare(
            job, partial(self._prepare, found, job, entry, prepared), entry.begin, entry.start
        )
        assert now.plan is not None
        if change := plan.change(now.plan):
            raise Denied(f"{call.line}: the consent is void, for {change}; ask again")
        return now

    def _check(self, reading: Reading, call: Call) -> None:
        """Look at the rights anew: they may have changed while it waited. Any thread."""
        access, user = self.parts.access, self.parts.access.identify(call.sender)
        access.check(user, reading.name, reading.policy, call, reading.arguments, reading.hosts)

    def _check_account(self, call: Call) -> None:
        """Who asked must still be who they were then, as far as that can be seen. On the loop."""
        account = call.sender.account
        now = self.parts.account_now(call.sender) if account else None
        if now is not None and now != account:
            since = f"logged in as {now}" if now else "logged out"
            raise Denied(f"{account} asked for it and has {since} since; ask again")

    def _answers_a_question(self, call: Call) -> bool:
        """A line of somebody who was asked something, and which names no command, is the answer."""
        for asked in self._calls.values():
            if (
                asked.reply.is_asking
                and asked.where == call.where
                and (asked.sender.account or asked.sender.mask)
                == (call.sender.account or call.sender.mask)
                and (asked.sender.door, asked.sender.network)
                == (call.sender.door, call.sender.network)
                and not self._names_a_command(call.line)
            ):
                asked.reply.answer(call.line)
                return True
        return False

    def _names_a_command(self, line: str) -> bool:
        try:
            self.parts.catalog.find(line)
        except click.UsageError:
            return False
        return True

    @contextmanager
    def _open(self, call: Call) -> Iterator[None]:
        """While the block runs the call can be asked things; after it, its reply is closed."""
        self._calls[id(call)] = call
        try:
            yield
        finally:
            del self._calls[id(call)]
            call.reply.finish()


@contextmanager
def _ended(job: Job, parts: Parts) -> Iterator[None]:
    """Note how the job ended, whichever way the block is left."""
    try:
        yield
    except Stopped as error:
        parts.jobs.end(job, "killed", error.message)
        raise
    except Exit:
        parts.jobs.end(job, "done", "ok")
        raise
    except click.ClickException as error:
        parts.jobs.end(job, "failed", sentence(error))
        raise
    except BaseException:
        parts.jobs.end(job, "failed", "internal error")
        raise
    parts.jobs.end(job, "done" if job.outcome == "ok" else "failed", job.outcome)


def _asks(context: click.Context) -> bool:
    """Something was asked for while its words were parsed."""
    links = links_of(context)
    return any(getattr(param, "prompt", None) for link in links for param in link.command.params)


def _wants(plan: Plan, bot: Bot) -> dict[str, int]:
    """What a job that is not over at once takes one of, and how many of that there are."""
    wants = {f"{SHARE}{plan.asker}": bot.jobs_per_user}
    if not plan.place.endswith("/"):  # in private
        wants[f"{SHARE}{plan.place.removeprefix('/')}"] = bot.jobs_per_channel
    return dict.fromkeys(plan.locks, 1) | wants


def _filled(lock: str, context: click.Context, hosts: Any) -> tuple[str, ...]:
    """`deploy:{env}` with the call's own arguments; with `{hosts}`, a lock for each of its hosts."""
    if not lock:
        return ()
    for name, value in context.params.items():
        if name != "hosts":
            lock = lock.replace(f"{{{name}}}", str(value))
    if "{hosts}" not in lock:
        return (lock,)
    return tuple(lock.replace("{hosts}", host) for host in hosts or ())
