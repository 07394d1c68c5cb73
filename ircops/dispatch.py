"""The path of a call: identify, find, authorise, parse, approve, record, run, reply, record.

Doors (IRC, console, schedule) make a `Call` and hand it to `handle`; no call skips a stage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import Exit

from ircops.call import Call
from ircops.errors import FAILED, OK, Denied, HandedOver, Stopped, sentence
from ircops.jobs import Job
from ircops.lanes import Lanes
from ircops.ops import Ops, Parts
from ircops.record import Open
from ircops.runner import Prepared, Runner

log = logging.getLogger(__name__)


class Dispatch:
    """Takes calls from words to reply. `parts` is replaced whole when the settings are read again."""

    def __init__(self, parts: Parts, runner: Runner) -> None:
        self.parts = parts
        self._runner = runner
        self._lanes = Lanes()
        self._calls: dict[int, Call] = {}  # those that are not over, by their id()

    async def handle(self, call: Call) -> int:
        """Take one call to its end and give its exit code; never raises. Every way out is on the record."""
        if self._answers_a_question(call):
            return OK
        async with self.parts.record.entry(call) as entry, self._lanes.turn(call):
            with self._open(call):
                return await self._answer(call, entry)

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
            call.reply.error(error)
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
        with _ended(job, parts):
            ops = Ops(call, user, job, parts)

            def prepare() -> Prepared:
                context = parts.catalog.parse(found, ops)
                policy = parts.catalog.policy(context)
                hosts = parts.catalog.hosts(context)
                entry.command = job.command = parts.catalog.name(context)
                entry.hosts = job.hosts = str(hosts or "")
                self._check(context, call)  # arguments, hosts and an inner command may ask for more
                is_free = not (policy.approvals or policy.confirm or policy.lock or job.hosts)
                return Prepared(context, policy, is_free)

            prepared, outcome = await self._runner.prepare(job, prepare, entry.start)
            if outcome is None:
                context, policy = prepared.context, prepared.policy
                entry.approvers = await parts.approvals.wait(
                    entry.number, user, found.name, policy, job.hosts, call
                )
                if policy.approvals or policy.confirm:
                    self._check_account(call)

                def start() -> None:  # in its thread, however long it waited for that
                    self._check(context, call)
                    entry.start()

                job.state = "queued"
                with parts.jobs.locked(_filled(policy.lock, context), job):
                    outcome = await self._runner.run(prepared, job, bool(job.hosts), start)
            job.outcome = outcome.text
            if not call.reply.lines:  # silence could mean anything
                call.reply.say(outcome.text)
            entry.finished(outcome.text, outcome.exit_code, outcome.digest, outcome.lines)
            return outcome.exit_code

    def _check(self, context: click.Context, call: Call) -> None:
        """Look at the rights anew: they may have changed while it waited. Any thread."""
        access, catalog = self.parts.access, self.parts.catalog
        access.check(
            access.identify(call.sender),
            catalog.name(context),
            catalog.policy(context),
            call,
            catalog.arguments(context),
            catalog.hosts(context),
        )

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


def _filled(lock: str, context: click.Context) -> str:
    """`deploy:{env}` with the call's own arguments."""
    for name, value in context.params.items():
        lock = lock.replace(f"{{{name}}}", str(value))
    return lock
