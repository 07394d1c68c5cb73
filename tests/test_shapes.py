"""Checks: what may be a nick, a channel, a cron line, a time zone."""

from __future__ import annotations

from typing import Any

import pytest

from ircops import shapes


def is_allowed(hint: Any, value: Any) -> bool:
    try:
        for check in hint.__metadata__:
            check(value)
    except ValueError as wrong:
        assert str(wrong).startswith(("it ", "a ", "no ", *(name for name, *_ in shapes.CRON)))
        return False
    return True


@pytest.mark.parametrize(
    "line",
    [
        "* * * * *",
        "0 9 * * mon-fri",
        "*/10 0-23/2 1,15 jan,jul sat-sun",
        "59 23 31 12 7",
        "0 0 1 JAN Sun",
        "5-10,20,30-40/5 * * * 0",
    ],
)
def test_cron_line_of_crontab_is_allowed(line: str) -> None:
    assert is_allowed(shapes.Cron, line)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "weekday"),
        ("*/0 * * * *", "minute"),
        ("30-10 * * * *", "minute"),
        ("* * * * fri-mon", "weekday"),
        ("* * * * jan", "weekday"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
    ],
)
def test_wrong_cron_field_is_named(line: str, field: str) -> None:
    with pytest.raises(shapes.Wrong) as wrong:
        shapes.cron(line)
    assert wrong.value.shown.startswith(field)


@pytest.mark.parametrize(
    ("line", "field", "numbers"),
    [
        ("* * * * *", 0, list(range(60))),
        ("*/20 * * * *", 0, [0, 20, 40]),
        ("50/5,1 * * * *", 0, [1, 50, 55]),
        ("* 8-18/5 * * *", 1, [8, 13, 18]),
        ("* * * feb-mar *", 3, [2, 3]),
        ("* * * * sat-sun", 4, [6, 7]),
        ("* * * * sun-tue", 4, [0, 1, 2]),
    ],
)
def test_cron_field_stands_for_numbers(line: str, field: int, numbers: list[int]) -> None:
    assert shapes.cron(line)[field] == numbers


def test_day_that_never_comes_is_refused() -> None:
    assert is_allowed(shapes.Cron, "0 0 29 2 *")
    with pytest.raises(ValueError, match="no such month has such a day"):
        shapes.cron("0 0 30,31 feb *")


@pytest.mark.parametrize("line", ["", "* * * *", "* * * * * *", "@daily"])
def test_cron_line_has_five_fields(line: str) -> None:
    with pytest.raises(ValueError, match="minute hour day month weekday"):
        shapes.cron(line)


def test_time_zone_is_one_of_the_database() -> None:
    for name in ("UTC", "Europe/Berlin"):
        shapes.zone(name)
    for name in ("Europe", "../etc/passwd", "", "CEST5"):
        assert not is_allowed(shapes.Zone, name)
    with pytest.raises(ValueError, match='did you mean "Europe/Berlin"'):
        shapes.zone("Europe/Berln")


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        ("Nick", "opsbot ops[bot] `b-2 _", ["1bot", "-bot", "ops bot", "öps", ""]),
        ("Login", "ircops ~ops", ["a@b", "a!b", ":a", "a b", ""]),
        ("Prefix", "! . !! ,", ["ops", "! ", "/", ":", ""]),
        ("Channel", "#ops ##ops &local #a/b", ["ops", "#", "#a,b", "#a:b", "#a b"]),
        ("Place", "#ops libera/#ops", ["ops", "libera/ops", "a/b/#ops"]),
        ("Nodes", "web[1-3] @web,db1 @all!web2", ["", "web1 # one", "web1;"]),
        ("Pin", "SHA256:" + "a" * 43, ["", "SHA256:abc", "MD5:" + "a" * 43]),
        ("Importable", "tools.deploy:group", ["tools", "tools:", "a-b:c"]),
        ("Word", "alice a@b", ["a b", "a\n"]),
        (
            "Who",
            "* alice libera/alice unix:alice mask:*!*@10.* libera/mask:*!~a@gateway/web/x",
            ["#", "#bob", "alice!*@*", "mask:alice", "mask:*@*", "", "a/b/c"],
        ),
    ],
)
def test_shape_takes_what_it_is_and_nothing_else(shape: str, good: str, bad: list[str]) -> None:
    hint = getattr(shapes, shape)
    assert [text for text in good.split() if not is_allowed(hint, text)] == []
    assert [text for text in bad if is_allowed(hint, text)] == []


def test_nothing_near_is_not_suggested() -> None:
    assert shapes.did_you_mean("chanels", ["channels", "server"]) == '; did you mean "channels"?'
    assert shapes.did_you_mean("zzz", ["channels", "server"]) == ""
