"""/healthz and /metrics: what they say is so, and who may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ircops import ini
from ircops.bot import Bot
from ircops.record import Record
from ircops.store.database import Database
from ircops.store.times import stamp
from ircops.web.metrics import Metrics
from ircops.web.sources import State
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.ircds import free_ports
from tests.scripted_ircd import Connection
from tests.test_web_server import SETTINGS, get, say, served

Values = dict[tuple[str, ...], float]


async def metrics(port: int) -> Values:
    """By name, then the values of the labels."""
    page = await get(f"http://127.0.0.1:{port}/metrics")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


async def counted(port: int, *key: str) -> Values:
    """The numbers once there is this one: how a call ended is recorded a moment after it was said."""
    async with asyncio.timeout(10):
        while key not in (values := await metrics(port)):
            await asyncio.sleep(0.02)
    return values


def test_metrics_say_what_has_been_done_and_how_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        say(server, "!numbers 3")
        await server.until("PRIVMSG #ops 3")
        say(server, "!numbers")
        await server.until("PRIVMSG #ops :alice: missing argument")
        server.send("@account=mallory :mallory!m@m PRIVMSG #ops :!reload")
        await server.until("PRIVMSG #ops :mallory: ")
        say(server, "!schedule run count")
        await server.until("NOTICE #ops :… 24 more lines")

        values = await counted(port, "ircops_schedule_runs_total", "count")
        assert values["ircops_calls_total", "numbers", "ok"] == 2
        assert values["ircops_calls_total", "numbers", "refused"] == 1
        assert values["ircops_calls_total", "reload", "refused"] == 1
        assert values["ircops_call_seconds_count", "numbers"] == 2
        assert values["ircops_call_seconds_bucket", "numbers", "+Inf"] == 2
        buckets = [
            v for k, v in values.items() if k[:2] == ("ircops_call_seconds_bucket", "numbers")
        ]
        assert buckets == sorted(buckets) and len(buckets) == 11
        assert values["ircops_schedule_runs_total", "count"] == 1
        assert values["ircops_network_up", "test"] == 1
        assert 0 < values["ircops_network_lag_seconds", "test"] < 5
        assert values["ircops_lines_sent_total", "test"] >= 12
        assert values["ircops_lines_lost_total", "test"] == 0
        assert values["ircops_lines_queued", "test"] == 0
        assert values["ircops_jobs", "running"] == 0 and values["ircops_alive",] == 1
        assert values["ircops_schedules",] == 1 and values["ircops_ssh_connections",] == 0
        assert values["ircops_record_seq",] == bot.parts.record.entries(last=1)[0].seq
        assert values["process_resident_memory_bytes",] > 1e7
        again = await metrics(port)
        assert again["ircops_calls_total", "numbers", "ok"] == 2  # nothing is counted twice
        assert again["ircops_start_time_seconds",] == values["ircops_start_time_seconds",]

    served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def test_counters_begin_with_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)

    async def one(bot: Bot, server: Connection, path: Path) -> None:
        say(server, "!numbers 3")
        await server.until("PRIVMSG #ops 3")

    async def two(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        say(server, "!version")
        await server.until("PRIVMSG #ops :alice: ircops")
        values = await counted(port, "ircops_calls_total", "version", "ok")
        assert values["ircops_calls_total", "version", "ok"] == 1
        assert ("ircops_calls_total", "numbers", "ok") not in values

    for scene in (one, two):
        served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def test_healthz_says_what_the_watchdog_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)

    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        await until(lambda: bot.parts.links.to("job/1"))
        page = await get(f"http://127.0.0.1:{port}/healthz")
        assert page.status_code == 200
        ok, network, scheduler = page.text.splitlines()
        assert ok == "ok" and network.startswith("network test: connected to 127.0.0.1:")
        assert scheduler == "scheduler: ticks, 1 schedules"
        monkeypatch.setattr("ircops.schedule.DEAD", -1)
        page = await get(f"http://127.0.0.1:{port}/healthz")
        assert page.status_code == 503
        assert page.text.startswith("not ok: the scheduler does not tick\n")
        assert (await metrics(port))["ircops_alive",] == 0

    served(tmp_path, f"listen = 127.0.0.1:{port}", scene, monkeypatch)


def asked(
    directory: Path, web: str, scene: Callable[[Bench, httpx.AsyncClient], Awaitable[None]]
) -> None:
    async def inside(bench: Bench) -> None:
        bench.bot._web.read_key(bench.bot.settings)
        bench.bot._web.open()
        await until(lambda: all(door.is_open for door in bench.bot._web._doors.values()))
        async with httpx.AsyncClient() as client:
            try:
                await scene(bench, client)
            finally:
                await bench.bot._web.close()

    with_bot(directory, f"[web]\n{web}\n", inside)


def test_behind_a_web_server_nobody_is_told_at_the_pages_address(tmp_path: Path) -> None:
    pages, own = free_ports(2)

    async def scene(bench: Bench, client: httpx.AsyncClient) -> None:
        for path in ("healthz", "metrics"):
            found = await client.get(f"http://127.0.0.1:{pages}/{path}")
            assert found.status_code == 404 and "[web] metrics" in found.text
            assert (await client.get(f"http://127.0.0.1:{own}/{path}")).status_code in (200, 503)
        link = bench.bot.parts.links.to("job/1").replace("https://ops.example.org", f"http://127.0.0.1:{own}")  # fmt: skip
        await bench.say("version")
        assert (await client.get(link)).status_code == 404  # pages are not there
        assert (await client.get(link.replace(str(own), str(pages)))).status_code == 200

    web = (
        f"listen = 127.0.0.1:{pages}\nbase_url = https://ops.example.org\nmetrics = 127.0.0.1:{own}"
    )
    asked(tmp_path, web, scene)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(tmp_path: Path, header: str) -> None:
    (port,) = free_ports(1)

    async def scene(bench: Bench, client: httpx.AsyncClient) -> None:
        url = f"http://127.0.0.1:{port}/metrics"
        assert (await client.get(url)).status_code == 200
        assert (await client.get(url, headers={header: "192.0.2.7"})).status_code == 404

    asked(tmp_path, f"listen = 127.0.0.1:{port}", scene)


def test_metrics_alone_need_no_pages(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scene(bench: Bench, client: httpx.AsyncClient) -> None:
        assert (await client.get(f"http://127.0.0.1:{port}/metrics")).status_code == 200
        assert bench.bot.parts.links.to("job/1") == ""
        assert not (tmp_path / "state" / "web.key").exists()

    asked(tmp_path, f"metrics = 127.0.0.1:{port}", scene)


def test_a_record_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scene(bench: Bench, client: httpx.AsyncClient) -> None:
        def broken() -> None:
            from ircops.errors import OpsError

            raise OpsError("the database is gone")

        bench.bot.database.read = broken  # type: ignore[method-assign,assignment]
        found = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert found.status_code == 503 and "database is gone" in found.text

    asked(tmp_path, f"metrics = 127.0.0.1:{port}", scene)


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(SETTINGS.format(directory=tmp_path, server="h:1") + "metrics = [::1]:9642\n")
    (address,) = ini.load(path).web.metrics
    assert str(address) == "[::1]:9642"


def test_calls_are_counted_in_either_kind_of_database(database: Database) -> None:
    state = State("1", 0.0, True, {}, {}, 0, 0)
    metrics = Metrics(database)

    def values() -> Values:
        families = text_string_to_metric_families(metrics.text(state)[1].decode())
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, *sample.labels.values()): sample.value for sample in samples}

    async def write() -> None:
        record = Record(database)
        await record.open()
        ended = {"event": "ended", "at": stamp(record.now()), "command": "load", "door": "irc"}
        await record.put({**ended, "exit_code": 0, "milliseconds": 5})  # of the bot before
        await record.note("started")
        await record.put({**ended, "exit_code": 0, "milliseconds": 1500})
        await record.put({**ended, "exit_code": 1, "milliseconds": 30})
        assert values()["ircops_calls_total", "load", "ok"] == 1
        schedule = {"door": "schedule", "mask": "morning"}
        await record.put({**ended, **schedule, "exit_code": 0, "milliseconds": 400_000})
        await record.put({**ended, "event": "refused", "exit_code": 1})
        await record.close()

    asyncio.run(write())
    found = values()
    outcomes = {key[2]: value for key, value in found.items() if key[0] == "ircops_calls_total"}
    assert outcomes == {"ok": 2, "failed": 1, "refused": 1}
    assert found["ircops_call_seconds_sum", "load"] == pytest.approx(401.53)
    buckets = [found["ircops_call_seconds_bucket", "load", le] for le in ("0.01", "0.03", "1.0", "3.0", "+Inf")]  # fmt: skip
    assert buckets == [0, 1, 1, 2, 3]
    assert found["ircops_schedule_runs_total", "morning"] == 1
    assert found["ircops_record_seq",] == 6
