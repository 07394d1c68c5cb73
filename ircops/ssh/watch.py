"""What wakes the thread that follows a command: news from the host, the end of its time, a request to stop."""

from __future__ import annotations

import threading
import time


class Watch:
    """One command's clock and bell. `pause` is for the thread that follows it, `stop` for any."""

    def __init__(self) -> None:
        self.news = News()
        self.stopped = ""  # why
        self._deadline: float | None = None

    def start(self, seconds: float) -> None:
        """From now on it has so long; 0 = as long as it likes."""
        self._deadline = time.monotonic() + seconds if seconds else None

    def stop(self, reason: str) -> None:
        """Wake the follower for good."""
        self.stopped = reason
        self.news.set()

    def left(self) -> float | None:
        """Seconds until its time is up, None = no end. Raises TimeoutError when there are none."""
        if self._deadline is None:
            return None
        if (left := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError
        return left

    def pause(self, longest: float | None = None) -> None:
        """Sleep until there is news, at most `longest` seconds. Raises TimeoutError when its time is up."""
        left = self.left()
        self.news.wait(left if longest is None else min(longest, left or longest))


class News(threading.Event):
    """Set when either stream has something. paramiko clears it when one of the two is empty; that is too early."""

    reset = threading.Event.clear

    def clear(self) -> None:
        pass
