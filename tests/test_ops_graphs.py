"""What `!graph` says, with a link and without, and when there is nothing to draw."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops.config import Health
from ircops.errors import OpsError
from ircops.ops.graphs import Graphs, page
from ircops.store.database import Database
from ircops.store.samples import Samples

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OFF = None


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    database = Database("", tmp_path)
    database.open()
    yield Samples(database, lambda: NOW)
    database.close()


@pytest.fixture
def graphs(samples: Samples) -> Graphs:
    for minute in range(1, 121):
        values = [("web1", "load", minute / 100), ("web2", "load", 2.5), ("web1", "disk:/var", 91)]
        samples.add(NOW - timedelta(minutes=minute), values)
    limits = dict.fromkeys(("web1", "web2"), Health())
    return Graphs(samples, lambda hosts: limits, lambda: NOW)


def test_one_host_is_numbers_and_a_plot_or_a_link(graphs: Graphs) -> None:
    said = graphs.answer(["web1"], "load", "2h", OFF)
    assert said[0] == "web1 load, 2h: 0.01..1.2, mean 0.6, last 0.01" and len(said) == 4
    said = graphs.answer(["web1"], "load", "2h", lambda page: f"https://x/{page}")
    assert said == [
        "web1 load, 2h: 0.01..1.2, mean 0.6, last 0.01 · https://x/graph/web1/load?hours=2"
    ]


def test_several_hosts_are_a_line_each_on_one_scale_or_a_link(graphs: Graphs) -> None:
    one, two, missing = graphs.answer(["web1", "web2", "web3"], "load", "2h", OFF)
    assert one.startswith("web1 ▄▄▄") and "▁" in one and two.startswith("web2 ▇▇▇▇")
    assert missing == "no load of web3 in the last 2h"
    said = graphs.answer(["web1", "web2"], "load", "2h", lambda page: f"https://x/{page}")
    assert said == [
        "web[1-2] load, 2h: highest 2.5 (web2) · https://x/graph/web%5B1-2%5D/load?hours=2"
    ]


def test_too_many_hosts_are_told(graphs: Graphs) -> None:
    said = graphs.answer(["web1", *(f"db{number}" for number in range(1, 30))], "load", "2h", OFF)
    assert said[-1] == "left out db[24-29]: 24 hosts make a picture"


def test_what_is_not_there_is_told_with_what_is(graphs: Graphs) -> None:
    with pytest.raises(
        OpsError, match=r"no laod of web1; did you mean load\? there is disk:/var, load"
    ):
        graphs.answer(["web1"], "laod", "2h", OFF)
    with pytest.raises(OpsError, match="nothing was ever measured on web9; health web9 does it"):
        graphs.answer(["web9"], "load", "2h", OFF)
    later = Graphs(graphs._samples, now=lambda: NOW + timedelta(days=2))
    with pytest.raises(OpsError, match="load of web1 was not measured in the last 90m"):
        later.answer(["web1"], "load", "90m", OFF)


def test_a_measure_has_the_limit_of_health(graphs: Graphs) -> None:
    assert graphs.series("web1", "load", 2).limit == 2
    assert graphs.series("web1", "disk:/var", 2).limit == 90
    graphs._samples.add(NOW - timedelta(minutes=1), [("web1", "keep:it", 1)])  # a check called keep
    assert graphs.series("web1", "keep:it", 2).limit is None


def test_a_measure_of_any_letters_has_a_page() -> None:
    assert page("web[1-2]", "http:a?b#c d/é", 1.5, ".png") == (
        "graph/web%5B1-2%5D/http:a%3Fb%23c%20d/%C3%A9.png?hours=1.5"
    )
