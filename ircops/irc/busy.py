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
    """Watches the calls of one network. On the loop."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._timers: dict[asyncio.Future[object], asyncio.TimerHandle] = {}

    def watch(self, call: Call, task: asyncio.Future[object]) -> None:
        """Look after `call` until `task` is done."""
        if self._voice.may_tag("typing"):
            self._look_again(call, task, FIRST)
            task.add_done_callback(lambda task: self._ended(call, task))

    def _look_again(self, call: Call, task: asyncio.Future[object], seconds: float) -> None:
        self._timers[task] = task.get_loop().call_later(seconds, self._look, call, task)

    def _look(self, call: Call, task: asyncio.Future[object]) -> None:
        if call.reply.is_working and not call.reply.is_asking:
            self._voice.type(_target(call), AGAIN)
        self._look_again(call, task, AGAIN)

    def _ended(self, call: Call, task: asyncio.Future[object]) -> None:
        """Said only if nothing was said: an answer ends it by itself."""
        self._timers.pop(task).cancel()
        self._voice.stop_typing(_target(call))


def _target(call: Call) -> str:
    return call.where or call.sender.name
