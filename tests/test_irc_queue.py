"""What waits to leave: whose turn it is, and what goes when there is no room."""

from __future__ import annotations

from ircops.irc.queue import Parcel, Priority, Queue


def parcel(text: str, target: str = "#ops", priority: Priority = Priority.ANSWER) -> Parcel:
    return Parcel(priority, (f"PRIVMSG {target} :{text}".encode(),))


def taken(queue: Queue) -> list[str]:
    parcels = [queue.take() for _ in range(len(queue))]
    return [parcel.lines[0].decode().rpartition(":")[2] for parcel in parcels]


def test_priority_first_then_targets_in_turn_each_in_order() -> None:
    queue = Queue()
    for text in ("a1", "a2", "a3"):
        queue.add(parcel(text, "#A"))
    queue.add(parcel("b1", "#b"))
    queue.add(parcel("error", "#c", Priority.ERROR))
    assert taken(queue) == ["error", "a1", "b1", "a2", "a3"]


def test_a_batch_a_tag_and_letter_case_do_not_hide_the_target() -> None:
    batch = Parcel(
        Priority.ANSWER, (b"@+draft/reply=x BATCH +m1 draft/multiline #Ops", b"BATCH -m1")
    )
    hint = Parcel(Priority.PROGRESS, (b"@+typing=done TAGMSG #OPS",))
    assert batch.target == hint.target == parcel("x").target == b"#ops"
    assert Parcel(Priority.ERROR, (b"JOIN #ops",)).target == b""


def test_what_has_the_same_key_takes_its_place_and_its_cargo() -> None:
    queue = Queue()
    for percent in (10, 20):
        line = f"PRIVMSG #ops :{percent} %".encode()
        queue.add(Parcel(Priority.PROGRESS, (line,), "job 7", percent))
    assert len(queue) == 1
    assert queue.take().cargo == 20


def test_the_oldest_of_the_least_is_dropped() -> None:
    queue = Queue()
    queue.add(parcel("error", priority=Priority.ERROR))
    queue.add(parcel("old", "#b"))
    queue.add(parcel("new"))
    assert queue.drop().lines[0].endswith(b"old")
    assert taken(queue) == ["error", "new"]
