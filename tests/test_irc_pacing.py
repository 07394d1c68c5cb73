"""The pacer against IRC servers of different patience, by a clock that is turned by hand."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.irc.pacing import LIMIT, LULL, LULL_ECHO, Pacer
from ircops.irc.queue import Parcel, Priority

MOST_QUEUED = 2 * (3072 + 30)  # bytes: two groups and their PINGs; InspIRCd's recvq is 8192


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.time = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.time + seconds, next(self._numbers), callback))

    def run(self, seconds: float) -> None:
        until = self.time + seconds
        while self._due and self._due[0][0] <= until:
            self.time, _, callback = heapq.heappop(self._due)
            callback()
        self.time = until


class Server:
    """An IRC server that takes `burst` commands at once, then one in `seconds`; PINGs count."""

    def __init__(
        self,
        burst: float = 1,
        seconds: float = 0.0,
        latency: float = 0.001,
        has_echo: bool = False,
    ) -> None:
        self.clock = Clock()
        self.pacer = Pacer(self.write, self.clock.now, self.clock.call_later)
        self.pacer.begin(has_echo)
        self.has_echo = has_echo
        self.burst, self.seconds, self.latency = burst, seconds, latency
        self.answers_pings = True
        self.written: list[bytes] = []  # by the pacer
        self.handled: list[tuple[float, bytes]] = []  # but PINGs
        self.queued_bytes = self.most_queued_bytes = 0
        self.unconfirmed = self.most_unconfirmed = (
            0  # lines on their way for all the pacer can know
        )
        self._queue: deque[bytes] = deque()
        self._allowance, self._allowance_at = burst, 0.0
        self._lines_since_ping: deque[int] = deque([0])

    @property
    def texts(self) -> list[bytes]:
        return [line.rpartition(b":")[2] for _, line in self.handled]

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\r\n")
        for line in data.removesuffix(b"\r\n").split(b"\r\n"):
            self._written(line)

    def _written(self, line: bytes) -> None:
        assert line and b"\n" not in line
        self.written.append(line)
        if line.startswith(b"PING "):
            self._lines_since_ping.append(0)
        else:
            self._lines_since_ping[-1] += 1
        self.most_unconfirmed = max(self.most_unconfirmed, sum(self._lines_since_ping))
        self.clock.call_later(self.latency, lambda: self._arrive(line))

    def _arrive(self, line: bytes) -> None:
        self._queue.append(line)
        self.queued_bytes += len(line) + 2
        self._handle()
        self.most_queued_bytes = max(self.most_queued_bytes, self.queued_bytes)

    def _handle(self) -> None:
        now = self.clock.time
        if self.seconds:
            gained = (now - self._allowance_at) / self.seconds
            self._allowance = min(self._allowance + gained, self.burst)
            self._allowance_at = now
        while self._queue:
            if self.seconds and self._allowance < 0.999:
                self.clock.call_later((1 - self._allowance) * self.seconds, self._handle)
                return
            self._allowance -= 1
            line = self._queue.popleft()
            self.queued_bytes -= len(line) + 2
            if not line.startswith(b"PING :"):
                self.handled.append((now, line))
                if self.has_echo and line.startswith((b"PRIVMSG", b"NOTICE")):
                    self.clock.call_later(self.latency, lambda line=line: self.pacer.echoed(line))
            elif self.answers_pings:
                token = line.removeprefix(b"PING :").decode()
                self.clock.call_later(self.latency, lambda token=token: self._pong(token))

    def _pong(self, token: str) -> None:
        self._lines_since_ping.popleft()
        self.pacer.pong(token)


def said(text: object, target: str = "#ops") -> bytes:
    return f"PRIVMSG {target} :{text}".encode()


def pings(server: Server) -> int:
    return sum(line.startswith(b"PING ") for line in server.written)


def fakelag() -> Server:
    return Server(burst=10, seconds=1.0)  # InspIRCd: threshold 10, commandrate 1000


def test_a_server_without_limits_gets_lines_as_fast_as_they_travel() -> None:
    server = Server(latency=0.0001)
    for number in range(2000):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(0.2)
    assert server.texts == [b"%d" % number for number in range(2000)]
    assert server.most_unconfirmed == 8
    assert server.pacer.waiting == 0


def test_a_server_of_three_lines_a_second_is_kept_busy_and_its_queue_short() -> None:
    server = Server(burst=3, seconds=1 / 3)
    for number in range(200):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(303 / 3)  # a PING for two lines
    assert len(server.handled) == 200
    assert server.most_unconfirmed == 8


def test_a_server_that_charges_for_pings_gets_few_of_them() -> None:
    server = fakelag()
    for number in range(200):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(225)
    assert len(server.handled) == 200
    assert pings(server) < 36


@pytest.mark.parametrize(("burst", "seconds"), [(10, 1.0), (5, 2.0)])
def test_an_error_waits_seconds_not_minutes_where_the_server_is_slow(
    burst: int, seconds: float
) -> None:
    server = Server(burst, seconds)
    for number in range(200):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(25 * seconds)
    server.pacer.send(Priority.ERROR, said("on fire"))
    server.clock.run(4 * seconds)
    assert b"on fire" in server.texts


@settings(max_examples=50, deadline=None)
@given(
    burst=st.integers(1, 20),
    seconds=st.just(0) | st.floats(0.01, 2),
    latency=st.floats(0.001, 1),
    sizes=st.lists(st.integers(0, 490), min_size=1, max_size=120),
    has_echo=st.booleans(),
)
def test_no_server_is_ever_flooded_and_every_line_arrives_in_order(
    burst: int, seconds: float, latency: float, sizes: list[int], has_echo: bool
) -> None:
    server = Server(burst, seconds, latency, has_echo)
    lines = [said(f"{number} " + "x" * size) for number, size in enumerate(sizes)]
    for line in lines:
        server.pacer.send(Priority.ANSWER, line)
    server.clock.run(1000)
    assert [line for _, line in server.handled] == lines
    assert server.most_queued_bytes <= MOST_QUEUED


def test_with_echoes_fakelag_loses_no_time_to_pings_and_errors_overtake_at_once() -> None:
    server = Server(burst=10, seconds=1.0, has_echo=True)
    for number in range(200):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(25)
    server.pacer.send(Priority.ERROR, said("on fire"))
    server.clock.run(3.1)
    assert b"on fire" in server.texts
    server.clock.run(192 - 28.1)
    assert len(server.handled) == 201
    assert pings(server) == 0


def test_lines_that_no_echo_answers_do_not_stop_the_rest() -> None:
    server = Server(has_echo=True)
    for number in range(50):
        server.pacer.send(Priority.ERROR, f"JOIN #c{number}".encode())
    server.pacer.send(Priority.ANSWER, said("hello"))
    server.clock.run(0.1)
    assert server.texts[-1] == b"hello"


def test_an_echo_that_the_server_changed_counts_for_the_first_to_its_target() -> None:
    server = Server()
    server.pacer.begin(has_echo=True)
    for target in ("#ops", "alice", "#ops"):
        server.pacer.send(Priority.ANSWER, said("\x0304red", target))
    server.pacer.echoed(said("red", "alice"))
    assert [parcel.lines for parcel in server.pacer.reset()] == [(said("\x0304red"),)]


def test_where_echoes_fail_to_come_a_ping_asks() -> None:
    server = Server()
    server.pacer.begin(has_echo=True)
    for number in range(20):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(LULL_ECHO - 1)
    assert len(server.handled) == 8
    server.clock.run(30)
    assert len(server.handled) == 20


def test_a_line_that_was_echoed_is_not_given_back() -> None:
    server = Server()
    server.pacer.begin(has_echo=True)
    for number in range(4):
        server.pacer.send(Priority.ANSWER, b"@+draft/reply=x " + said(number), cargo=number)
    server.pacer.echoed(said(2))
    assert [parcel.cargo for parcel in server.pacer.reset()] == [3]


def test_the_lines_of_a_batch_stay_together_and_its_last_echo_counts() -> None:
    server = Server()
    server.pacer.begin(has_echo=True)
    for number in range(8):
        server.pacer.send(Priority.REPORT, said(number))
    batch = [b"BATCH +1 draft/multiline #x", b"@batch=1 " + said("a", "#x")]
    batch += [b"@batch=1 " + said("b", "#x"), b"BATCH -1"]
    server.pacer.send(Priority.ANSWER, *batch, cargo="batch")
    server.pacer.send(Priority.ERROR, said("error"))
    for number in range(8):
        server.pacer.echoed(said(number))
    assert server.written[8:] == [said("error"), *batch]
    server.pacer.echoed(said("error"))
    server.pacer.echoed(said("a", "#x"))
    assert [parcel.cargo for parcel in server.pacer.reset()] == ["batch"]


def test_the_operator_may_set_the_pace() -> None:
    server = Server()
    server.pacer.begin(has_echo=False, burst=3, rate=0.5)
    for number in range(10):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(0.1)
    assert len(server.handled) == 3
    server.clock.run(6)
    assert len(server.handled) == 6
    server.clock.run(100)
    assert len(server.handled) == 10
    assert server.pacer.reset() == []


def test_courtesy_waits_until_nothing_else_does() -> None:
    server = fakelag()
    assert server.pacer.is_at_ease
    server.pacer.send(Priority.ANSWER, said(1), cargo="news")
    assert not server.pacer.is_at_ease
    server.clock.run(LULL + 1)
    assert server.pacer.is_at_ease
    for number in range(20):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(60)
    assert not server.pacer.is_at_ease, "the server is known to be slow"


def test_a_pause_of_the_network_slows_us_for_a_while_only() -> None:
    server = Server(latency=10.0)
    for number in range(5000):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(21)
    server.latency = 0.001
    server.clock.run(10)
    assert len(server.handled) < 40
    server.clock.run(60)
    assert server.pacer.waiting == 0
    assert server.most_unconfirmed <= 16


def test_trying_the_clock_again_grows_rare_where_it_fails() -> None:
    server = fakelag()
    for number in range(3000):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(3000 * 1.15)
    assert len(server.handled) == 3000
    assert pings(server) < 3000 / 8 + 30


def test_long_lines_do_not_fill_the_queue_of_the_slowest_server() -> None:
    server = Server(burst=5, seconds=2.0)
    for _ in range(300):
        server.pacer.send(Priority.ANSWER, said("x" * 480))
    server.clock.run(300 * 2.7)
    assert len(server.handled) == 300
    assert server.most_queued_bytes <= MOST_QUEUED


def test_a_rested_slow_server_gets_ten_lines_at_once() -> None:
    server = fakelag()
    for number in range(30):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(60)
    before = len(server.handled)
    for number in range(9):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(0.1)
    assert len(server.handled) == before + 9


def test_a_single_line_leaves_at_once_and_after_a_lull_one_ping_asks_for_it() -> None:
    server = Server()
    for number in range(3):
        server.pacer.send(Priority.ANSWER, said(number))
        assert server.written[-1] == said(number)
    server.clock.run(LULL - 0.1)
    assert pings(server) == 0
    server.clock.run(100)
    assert pings(server) == 1
    assert server.pacer.reset() == []


def test_an_echo_needs_no_ping() -> None:
    server = Server(has_echo=True)
    for number in range(300):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(100)
    assert len(server.handled) == 300
    assert pings(server) == 0
    assert server.pacer.reset() == []


def test_what_the_protocol_needs_never_waits() -> None:
    server = fakelag()
    for number in range(100):
        server.pacer.send(Priority.ANSWER, said(number))
    assert server.pacer.waiting == 92
    server.pacer.send(Priority.URGENT, b"PONG :irc.test")
    assert server.written[-1] == b"PONG :irc.test"


def test_what_the_protocol_needs_makes_no_pings_of_ours() -> None:
    server = Server()
    for number in range(4):
        for _ in range(100):
            server.pacer.send(Priority.URGENT, b"PONG :irc.test")
        server.pacer.send(Priority.ANSWER, said(number))
        server.clock.run(0.1)
    assert pings(server) == 0


def test_an_error_overtakes_bulk() -> None:
    server = Server()
    for number in range(100):
        server.pacer.send(Priority.REPORT, said(number))
    for priority in reversed(Priority):
        server.pacer.send(priority, said(priority.name))
    server.clock.run(1)
    names = [text for text in server.texts if not text.isdigit()]
    assert names == [priority.name.encode() for priority in Priority]
    assert server.texts.index(b"ANSWER") < 20
    assert server.texts[-1] == b"PROGRESS"


def test_channels_take_turns_and_each_keeps_its_order() -> None:
    server = Server()
    for channel in ("#bulk", "#OPS", "alice"):
        for number in range(100 if channel == "#bulk" else 5):
            server.pacer.send(Priority.ANSWER, said(f"{channel} {number}", channel))
    server.pacer.send(Priority.ANSWER, b"@label=1 NOTICE #ops :#ops 5")
    server.clock.run(1)
    texts = [text.lower().split() for text in server.texts]
    for channel in (b"#bulk", b"#ops", b"alice"):
        numbers = [int(number) for name, number in texts if name == channel]
        assert numbers == sorted(numbers)
    assert [name for name, _ in texts[8:]].index(b"#ops") < 3
    last_of_others = max(place for place, text in enumerate(texts) if text[0] != b"#bulk")
    assert last_of_others < 8 + 3 * 6


def test_newer_progress_takes_the_place_of_what_still_waits() -> None:
    server = fakelag()
    for number in range(8):
        server.pacer.send(Priority.ANSWER, said(number))
    for percent in range(100):
        server.pacer.send(Priority.PROGRESS, said(f"{percent} %"), key="job 7")
        server.pacer.send(Priority.PROGRESS, said(f"{percent} %", "#other"), key="job 7")
        server.pacer.send(Priority.PROGRESS, said(f"{percent} of 100"), key="job 8")
    assert server.pacer.waiting == 3
    server.clock.run(30)
    assert server.texts[8:] == [b"99 %", b"99 %", b"99 of 100"]
    server.pacer.send(Priority.PROGRESS, said("100 %"), key="job 7")
    server.clock.run(30)
    assert server.texts[-1] == b"100 %"


@pytest.mark.parametrize("line", [b"a\rQUIT", b"a\nQUIT", b"a\0b", b"a\r\n"])
@pytest.mark.parametrize("priority", [Priority.URGENT, Priority.ANSWER])
def test_a_line_that_would_be_two_is_refused(line: bytes, priority: Priority) -> None:
    server = Server()
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        server.pacer.send(priority, line)
    assert server.written == []
    assert server.pacer.waiting == 0


def test_a_server_that_never_answers_pings_still_gets_everything() -> None:
    server = fakelag()
    server.answers_pings = False
    for number in range(100):
        server.pacer.send(Priority.ANSWER, said(number))
    server.clock.run(50)
    assert len(server.handled) == 8
    server.clock.run(400)
    assert len(server.handled) == 100


def test_a_pong_is_ours_or_not() -> None:
    server = Server()
    server.answers_pings = False
    for number in range(9):
        server.pacer.send(Priority.ANSWER, said(number))
    token = next(line for line in server.written if line.startswith(b"PING ")).decode()[6:]
    assert not server.pacer.pong("irc.test")
    assert server.pacer.waiting == 1
    assert server.pacer.pong(token)
    assert server.pacer.waiting == 0
    assert server.pacer.pong(token), "of ours, but late"


def test_a_pong_answers_for_the_pings_before_it() -> None:
    server = Server()
    server.answers_pings = False
    for number in range(20):
        server.pacer.send(Priority.ANSWER, said(number))
    tokens = [line[6:].decode() for line in server.written if line.startswith(b"PING ")]
    assert len(tokens) == 2
    server.pacer.pong(tokens[1])
    assert server.pacer.waiting == 4


def test_long_lines_make_short_groups() -> None:
    server = Server()
    server.answers_pings = False
    for number in range(20):
        server.pacer.send(Priority.ANSWER, b"@label=" + b"x" * 1300 + b" " + said(number))
    assert server.pacer.waiting == 16


def test_another_connection_begins_anew_and_learns_what_was_not_sent() -> None:
    server = fakelag()
    for number in range(10):
        server.pacer.send(Priority.ANSWER, said(number))
    server.pacer.send(Priority.ANSWER, said("a"), key="k")
    server.pacer.send(Priority.ERROR, said("first"))
    unsaid = server.pacer.reset()
    assert [parcel.lines for parcel in unsaid[8:]] == [
        (said("first"),),
        (said(8),),
        (said(9),),
        (said("a"),),
    ]
    assert [parcel.lines for parcel in unsaid[:8]] == [(said(number),) for number in range(8)]
    assert (unsaid[8].priority, unsaid[11].key) == (Priority.ERROR, "k")
    assert server.pacer.waiting == 0
    written = len(server.written)
    server.clock.run(200)
    assert len(server.written) == written
    server.pacer.send(Priority.ANSWER, said("b"), key="k")
    assert server.written[-1] == said("b")


def test_what_left_before_a_quit_that_was_answered_has_arrived() -> None:
    server = Server()
    server.answers_pings = False
    for number in range(9):
        server.pacer.send(Priority.ANSWER, said(number))
    unsaid = server.pacer.reset(has_taken_all=True)
    assert [parcel.lines for parcel in unsaid] == [(said(8),)]


def test_a_full_queue_drops_the_oldest_of_the_least_and_says_which() -> None:
    server = Server()
    dropped: list[Parcel] = []
    server.pacer.on_drop = dropped.append
    for number in range(LIMIT + 20):
        server.pacer.send(Priority.ANSWER, said(number, f"#c{number % 2}"))
        if number == 10:
            server.pacer.send(Priority.PROGRESS, said("progress"))
            server.pacer.send(Priority.ERROR, said("error"))
    assert server.pacer.waiting == LIMIT
    assert len(dropped) == 14  # eight had left
    server.clock.run(60)
    assert b"error" in server.texts
    assert b"progress" not in server.texts
    numbers = {int(text) for text in server.texts if text.isdigit()}
    assert set(range(LIMIT + 20)) - numbers == set(range(8, 21))
