"""Threads that do what blocks. They are made when they are needed and end with the process.

Python runs one thread at a time, so as few as keep up are at work: one goes from piece to piece, and another
helps as soon as that one is held up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

HELD_UP = 0.003  # seconds with one piece of work, while others wait
AHEAD = 32  # pieces that may be half done; more, and they are finished before a new one is begun

Work = Callable[[], Any]  # must not raise; gives what is left to do of it, also a Work, or None


class Workers:
    """At most `most` threads, which begin what is submitted in that order. `submit` is for the loop.

    What is left of a piece of work is done when nothing new waits to be begun, so that what many have to wait
    for, such as the disk, is waited for once. `patience` is in seconds; with 0 each piece has a thread at once.
    """

    def __init__(self, name: str, most: int, patience: float = HELD_UP) -> None:
        self._name, self._most, self._patience = name, most, patience
        self._new: deque[Work] = deque()
        self._begun: deque[Work] = deque()
        self._idle: deque[None] = deque()  # one for each thread that waits for a word
        self._words: SimpleQueue[None] = SimpleQueue()
        self._count = 0
        self._taken_at = 0.0  # when one of them last took something
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, work: Work) -> None:
        """Have `work` done, and what it leaves."""
        self._new.append(work)
        self._see_to_it()

    def _see_to_it(self) -> None:
        """Somebody takes what waits, now or when whoever is at work is held up. On the loop."""
        if len(self._idle) == self._count:  # nobody is at work, so whoever comes takes it at once
            self._call_one()
            return
        if time.monotonic() - self._taken_at >= self._patience:
            self._call_one()
        if self._patience and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._new or self._begun:
            self._see_to_it()

    def _call_one(self) -> None:
        self._taken_at = time.monotonic()
        try:
            self._idle.pop()
        except IndexError:
            if self._count < self._most:
                self._count += 1
                name = f"{self._name}_{self._count}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        else:
            self._words.put(None)

    def _run(self) -> None:
        while True:
            left = self._take()()
            if left is not None:
                self._begun.append(left)

    def _take(self) -> Work:
        """The next piece of work; waits for one. In any of the threads."""
        while True:
            is_far_ahead = len(self._begun) >= AHEAD
            for queue in (self._begun, self._new) if is_far_ahead else (self._new, self._begun):
                try:
                    work = queue.popleft()
                except IndexError:
                    continue
                self._taken_at = time.monotonic()
                return work
            self._idle.append(None)
            if self._new or self._begun:  # it came just now, and the loop may not have seen us idle
                try:
                    self._idle.pop()
                except IndexError:  # it has: the word is for us
                    pass
                else:
                    continue
            self._words.get()
