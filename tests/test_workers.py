"""Threads for what blocks: as many as are needed, and no more than that."""

from __future__ import annotations

import threading

from ircops.workers import Workers
from tests.people import until_true


def test_what_is_submitted_is_done_beside_each_other_by_at_most_so_many() -> None:
    workers, go, names = Workers("desk", 2), threading.Event(), list[str]()

    def work() -> None:
        names.append(threading.current_thread().name)
        go.wait(30)

    for _ in range(3):
        workers.submit(work)
    until_true(lambda: len(names) == 2)
    go.set()
    until_true(lambda: len(names) == 3)
    assert set(names) == {"desk_1", "desk_2"}


def test_a_thread_that_has_nothing_to_do_is_used_again() -> None:
    workers, names = Workers("desk", 9), list[str]()
    for count in range(1, 4):
        workers.submit(lambda: names.append(threading.current_thread().name))
        until_true(lambda count=count: len(names) == count and workers._idle)  # type: ignore[misc]
    assert names == ["desk_1"] * 3
