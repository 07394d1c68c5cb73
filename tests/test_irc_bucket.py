"""A pace, by numbers."""

from __future__ import annotations

import pytest

from ircops.irc.bucket import Bucket


def test_a_burst_then_one_in_so_many_seconds() -> None:
    bucket = Bucket(seconds=2, burst=3, allowance=3, now=100)
    for _ in range(3):
        assert bucket.is_open
        bucket.spend()
    assert not bucket.is_open
    assert bucket.opens_at == 102
    bucket.gain(101)
    assert (bucket.is_open, bucket.opens_at) == (False, 102)
    bucket.gain(102)
    assert bucket.is_open


def test_no_more_is_saved_up_than_the_burst() -> None:
    bucket = Bucket(seconds=1, burst=2, allowance=0, now=0)
    bucket.gain(1000)
    bucket.spend()
    bucket.spend()
    assert bucket.opens_at == pytest.approx(1001)


def test_a_debt_is_paid_first() -> None:
    assert Bucket(seconds=1, burst=10, allowance=-4, now=0).opens_at == 5
