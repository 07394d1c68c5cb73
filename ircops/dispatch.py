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
from ircops.errors import FAILED, OK, Stopped, sentence
from ircops.jobs import Job
from ircops.lanes import Lanes
from ircops.ops import Ops, Parts
from ircops.policy import Policy
from ircops.record import Open
from ircops.runner import Prepared, Runner
from ircops.ssh.inventory import HostsType

log = logging.getLogger(__name__)


class Dispatch:
    """Takes calls from words to reply. `parts` is replaced whole when the settings are read again."""

    def __init__(self, parts: Parts, runner: Runner) -> None:
        self.parts = parts
        self._runner = runner
        self._lanes = Lanes()
        self._calls: set[Call] = set()

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
        found = parts.catalog.find(call.line)
        entry.command = found.name
        parts.access.check(user, found.name, found.policy, call)
        job = parts.jobs.begin(entry.number, user, call, found.name)
        with _ended(job, parts):
            ops = Ops(call, user, job, parts)

            def prepare() -> Prepared:
                context = parts.catalog.parse(found, ops)
                policy = parts.catalog.policy(context)
                entry.hosts = job.hosts = _hosts(context)
                self._check(found.name, policy, call)  # an inner command may ask for more
                is_free = not (policy.approvals or policy.confirm or policy.lock or job.hosts)
                return Prepared(context, policy, is_free)

            prepared, outcome = await self._runner.prepare(job, prepare, entry.start)
            if outcome is None:
                context, policy = prepared.context, prepared.policy
                entry.approvers = await parts.approvals.wait(
                    entry.number, user, found.name, policy, job.hosts, call
                )
                self._check(found.name, policy, call)
                with parts.jobs.locked(_filled(policy.lock, context), job):
                    outcome = await self._runner.run(prepared, job, bool(job.hosts), entry.start)
            job.outcome = outcome.text
            if not call.reply.lines:  # silence could mean anything
                call.reply.say(outcome.text)
            entry.finished(outcome.text, outcome.exit_code, outcome.digest, outcome.lines)
            return outcome.exit_code

    def _check(self, name: str, policy: Policy, call: Call) -> None:
        """Look at the rights anew: roles may have changed while it waited. Any thread."""
        access = self.parts.access
        access.check(access.identify(call.sender), name, policy, call)

    def _answers_a_question(self, call: Call) -> bool:
        """A line of somebody who was asked something, and which names no command, is the answer."""
        for asked in self._calls:
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
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)
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


def _hosts(context: click.Context) -> str:
    """The hosts the call names, folded; "" if it reaches none."""
    for param in context.command.params:
        if param.name and isinstance(param.type, HostsType) and context.params.get(param.name):
            return str(context.params[param.name])
    return ""
