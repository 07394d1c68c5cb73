"""Threads that do what blocks. They are made when they are needed and end with the process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """At most `most` threads, which take what is submitted in that order. On the loop."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._idle: deque[None] = deque()  # one for each thread that waits for work
        self._count = 0

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` done, which must not raise."""
        self._waiting.put(work)
        try:
            self._idle.pop()
        except IndexError:
            if self._count < self._most:
                self._count += 1
                name = f"{self._name}_{self._count}"
                threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            self._waiting.get()()
            self._idle.append(None)
