"""Shows that a job runs: the bot "is typing" where it was asked, until it has answered.

Source: ircv3.net/specs/client-tags/typing. People's clients show it for 6 s, or until a message comes; more often
than every 3 s it may not be said. It is a courtesy: where anything else has to leave, or the server takes its
time, it is left out.
"""

from __future__ import annotations

import asyncio

from ircops.call import Call
from ircops.irc.voice import Voice

FIRST = 1.0  # seconds; what is answered sooner needs none
AGAIN = 4.0  # seconds


class Busy:
    """Watches the calls of one network, all with one timer. On the loop."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._due: dict[asyncio.Future[object], tuple[Call, float]] = {}  # when to show it next
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: Call, task: asyncio.Future[object]) -> None:
        """Look after `call` until `task` is done."""
        if self._voice.may_tag("typing"):
            loop = task.get_loop()
            self._due[task] = call, loop.time() + FIRST
            task.add_done_callback(self._ended)
            if self._timer is None:
                self._timer = loop.call_later(FIRST, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, (call, due) in list(self._due.items()):
            if now >= due:
                if call.reply.is_working and not call.reply.is_asking:
                    self._voice.type(_target(call), AGAIN)
                self._due[task] = call, now + AGAIN
        self._timer = None
        if self._due:  # many at once are looked at together, not one after the other
            due = max(min(due for _, due in self._due.values()), now + FIRST / 4)
            self._timer = loop.call_at(due, self._look, loop)

    def _ended(self, task: asyncio.Future[object]) -> None:
        """Said only if nothing was said: an answer ends it by itself."""
        call, _ = self._due.pop(task)
        self._voice.stop_typing(_target(call))


def _target(call: Call) -> str:
    return call.where or call.sender.name
