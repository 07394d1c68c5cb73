"""Numbers, time spans and axes as people read them."""

from __future__ import annotations

import pytest

from ircops.ops.series import hours, nice, number, scale, span


@pytest.mark.parametrize(
    ("text", "found"), [("90m", 1.5), ("24h", 24), ("7d", 168), ("2 w", 336), ("365d", 8760)]
)
def test_time_spans(text: str, found: float) -> None:
    assert hours(text) == found


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "366d", "1.5h", "٣h", "24h7d"])
def test_what_is_no_time_span(text: str) -> None:
    with pytest.raises(ValueError, match="24h"):
        hours(text)


def test_time_spans_are_said_as_they_are_written() -> None:
    assert [span(hours(text)) for text in ("90m", "1h", "24h", "7d", "30d", "8w")] == [
        "90m", "1h", "24h", "7d", "30d", "8w",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.251, "", "0.25"), (93.04, "%", "93 %"), (12.34, "s", "12.3 s"), (-0.0, "", "0"), (0.0034, "s", "0.0034 s"),
        (1200, "B", "1200 B"), (15_300, "B", "15.3 kB"), (1_234_567, "B", "1.23 MB"), (-2.5e9, "", "-2.5 G"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, unit: str, said: str) -> None:
    assert number(value, unit) == said


@pytest.mark.parametrize(
    ("low", "high", "unit", "ends"),
    [(0.1, 1.5, "", (0, 1.5)), (3, 43, "%", (0, 100)), (-3, 4, "s", (-4, 4)), (0, 0, "", (0, 1)), (80, 180, "%", (0, 200))],
)  # fmt: skip
def test_an_axis_has_zero_and_round_ends(
    low: float, high: float, unit: str, ends: tuple[float, float]
) -> None:
    assert scale(low, high, unit) == ends


def test_steps_are_round() -> None:
    assert [nice(step) for step in (0.3, 1, 1.1, 2.2, 3, 7, 1234)] == [0.5, 1, 2, 2.5, 5, 10, 2000]
