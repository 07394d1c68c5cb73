"""A pace: so many lines at once, then one in so many seconds."""

from __future__ import annotations


class Bucket:
    """`seconds` a line, `burst` lines at most saved up, `allowance` of them to begin with. `now` is a clock's."""

    def __init__(self, seconds: float, burst: float, allowance: float, now: float) -> None:
        self.seconds = seconds
        self._burst, self._allowance, self._at = burst, allowance, now

    def gain(self, now: float) -> None:
        """Time has passed."""
        gained = (now - self._at) / self.seconds
        self._allowance = min(self._allowance + gained, self._burst)
        self._at = now

    def spend(self) -> None:
        """A line leaves, whether it may or must."""
        self._allowance -= 1

    @property
    def opens_at(self) -> float:
        """When the next line may leave."""
        return self._at + max(1 - self._allowance, 0.0) * self.seconds

    @property
    def is_open(self) -> bool:
        return self._allowance >= 1
