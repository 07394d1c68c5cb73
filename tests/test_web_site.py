"""The pages, asked for over loopback at the web of a real bot."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ircops.config import Address
from ircops.ops.health import Condition, Fault
from ircops.ops.vitals import Disk, Vitals
from ircops.redact import redactor
from ircops.ssh.inventory import Inventory
from ircops.web import job_page
from ircops.web.site import THREADS
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.ircds import free_ports

SETTINGS = """
[hosts]
web[1-3] = user=ops

[command say]
run = printf {{text}}
on = here
role = viewer

[command numbers]
run = seq {{many}}
on = here
role = viewer

[command wait]
run = echo begun; exec sleep 600
on = here
role = viewer

[web]
listen = 127.0.0.1:{port}
"""


@dataclass
class Visitor:
    """Somebody with a browser, and a bot."""

    bench: Bench
    client: httpx.AsyncClient
    port: int

    def link(self, page: str) -> str:
        return self.bench.bot.parts.links.to(page)

    async def get(self, page: str) -> httpx.Response:
        """Follow a link to a page."""
        return await self.client.get(self.link(page))


def visited(
    directory: Path, scene: Callable[[Visitor], Awaitable[None]], more: str = "", web: str = ""
) -> None:
    """Run `scene` with the web of a bot open; `web` is more of that section."""
    (port,) = free_ports(1)

    async def inside(bench: Bench) -> None:
        bench.bot._web.read_key(bench.bot.settings)
        bench.bot._web.open()
        await until(lambda: bench.bot.parts.links.to("x"))
        async with httpx.AsyncClient() as client:
            try:
                await scene(Visitor(bench, client, port))
            finally:
                await bench.bot._web.close()

    with_bot(directory, SETTINGS.format(port=port) + web + more, inside)


def fill(visitor: Visitor) -> None:
    """A day of samples."""
    now = datetime.now(UTC)
    for hour in range(24):
        values = [
            (f"web{number}", measure, float(number + hour))
            for number in (1, 2)
            for measure in ("load", "disk:/", 'http:<u>"&?#')
        ]
        visitor.bench.bot._samples.add(now - timedelta(hours=hour), values)


def test_a_job_is_shown_with_who_what_where_and_how_it_ended(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("numbers 100", "dave")
        page = await visitor.get("job/1")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for wanted in ("<code>numbers 100</code>", ">dave<small>viewer", "test #ops", "pill done"):
            assert wanted in page.text
        (output,) = re.findall(r"<pre>(.*)</pre>", page.text, re.DOTALL)
        assert output.splitlines() == [str(number) for number in range(1, 101)]
        assert "http-equiv" not in page.text
        (text,) = re.findall(r'href="([^"]*)">as text', page.text)
        text = await visitor.client.get(text.replace("&amp;", "&"))
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert text.text.splitlines() == [str(number) for number in range(1, 101)]

    visited(tmp_path, scene)


def test_a_job_that_runs_shows_what_it_said_and_is_looked_at_again(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        asked = visitor.bench.begin("wait")
        await until(lambda: asked.heard.lines)
        page = await visitor.get("job/1")
        assert ">begun\n<" in page.text and "pill running" in page.text
        assert '<meta http-equiv="refresh" content="5">' in page.text
        asked.call.stop.ask("enough")
        await asked.end()
        assert "pill killed" in (await visitor.get("job/1")).text

    visited(tmp_path, scene)


HOSTILE = r"'<script>alert(1)</script>\n\033[31m</pre>\033]0;x\007<img src=x>&\n'"


def test_what_a_job_puts_out_is_never_taken_for_html(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say(f"say {HOSTILE}")
        page = (await visitor.get("job/1")).text
        assert "<script" not in page and "<img" not in page
        assert page.count("</pre>") == 1
        assert (
            '&lt;script&gt;alert(1)&lt;/script&gt;\n<span class="ink1">&lt;/pre&gt;</span>' in page
        )
        text = (await visitor.get("job/1.txt")).text
        assert text == "<script>alert(1)</script>\n</pre><img src=x>&\n"

    visited(tmp_path, scene)


def test_secrets_are_left_out_as_they_are_in_the_channel(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say 'password=hunter2 glpat-12345678901234567890x'")
        spooled = visitor.bench.bot.parts.jobs.find(1).spooled
        spooled.mkdir()
        (spooled / "web1.out").write_text("token: hunter2\n")
        for page in ("job/1", "job/1.txt", "job/1/web1.out"):
            found = await visitor.get(page)
            assert found.status_code == 200
            assert "***" in found.text and "hunter2" not in found.text and "glpat" not in found.text

    visited(tmp_path, scene)


def test_what_hosts_put_out_is_at_hand_and_nothing_beside_it(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        spooled = visitor.bench.bot.parts.jobs.find(1).spooled
        spooled.mkdir()
        (spooled / "web1~2.out").write_text("line\r\n50 %\r100 %\rdone\n")
        page = (await visitor.get("job/1")).text
        (link,) = re.findall(r'<a href="([^"]*)">web1~2\.out</a><span>22 bytes', page)
        assert (await visitor.client.get(link.replace("&amp;", "&"))).text == "line\ndone\n"
        for name in ("..%2F1.out", "%2Fetc%2Fpasswd", "web1", "..", "..%2f..%2fircops.sqlite"):
            assert (await visitor.get(f"job/1/{name}")).status_code == 404, name

    visited(tmp_path, scene)


def test_a_job_that_is_forgotten_is_told_from_the_record(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello", "dave")
        visitor.bench.bot.parts.jobs._ended.clear()
        page = await visitor.get("job/1")
        assert page.status_code == 200
        assert "say hello" in page.text and "dave" in page.text and "not kept any more" in page.text
        assert (await visitor.get("job/99")).status_code == 404
        assert "There was no job 99" in (await visitor.get("job/99")).text

    visited(tmp_path, scene)


def test_a_graph_is_a_page_with_ranges_and_pictures(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await asyncio.to_thread(fill, visitor)
        page = await visitor.get("graph/web1/load?hours=24")
        assert page.status_code == 200 and page.text.count('<svg class="chart wide"') == 1
        links = [link.replace("&amp;", "&") for link in re.findall(r'href="(http[^"]*)', page.text)]
        assert len(links) == 6 + 2 + 2  # ranges, other measures, files
        for link in links:
            found = await visitor.client.get(link)
            is_short = "hours=1&" in link  # there is only a value an hour
            assert found.status_code in ((200, 404) if is_short else (200,)), link
        (image,) = re.findall(r'og:image" content="([^"]*)', page.text)
        png = await visitor.client.get(image.replace("&amp;", "&"))
        assert (
            "cross-origin-resource-policy" not in png.headers
        )  # chat clients in a browser show it
        assert png.headers["content-type"] == "image/png" and png.content[:4] == b"\x89PNG"
        svg = await visitor.get("graph/web1/load.svg?hours=24")
        assert svg.headers["content-type"] == "image/svg+xml" and svg.text.startswith("<svg ")

    visited(tmp_path, scene)


def test_links_on_a_page_are_good_as_long_as_its_own(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await asyncio.to_thread(fill, visitor)
        links = visitor.bench.bot.parts.links
        url = links.to("graph/web1/load?hours=24", seconds=100)
        page = (await visitor.client.get(url)).text
        ends = set(re.findall(r"until=(\d+)", page))
        assert ends == set(re.findall(r"until=(\d+)", url))

    visited(tmp_path, scene)


def test_a_graph_of_several_hosts_is_a_picture_each(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await asyncio.to_thread(fill, visitor)
        page = await visitor.get("graph/web%5B1-3%5D/load?hours=24")  # web3 was never measured
        assert page.text.count("<svg") == 2
        assert (await visitor.get("graph/web3/load?hours=24")).status_code == 404
        assert (await visitor.get("graph/web9/load?hours=24")).status_code == 404

    visited(tmp_path, scene)


def test_measures_of_any_name_have_their_page(tmp_path: Path) -> None:
    from ircops.ops.graphs import page

    async def scene(visitor: Visitor) -> None:
        await asyncio.to_thread(fill, visitor)
        for measure in ("disk:/", 'http:<u>"&?#'):
            for kind in ("", ".png", ".svg"):
                found = await visitor.get(page("web1", measure, 24, kind))
                assert found.status_code == 200
                assert b"<u>" not in found.content

    visited(tmp_path, scene)


def test_a_health_report_has_what_is_not_fine_first(tmp_path: Path) -> None:
    vitals = Vitals(load=(1, 2.5, 3), cores=4, uptime=9e5, memory=50, disks=(Disk("/var", 97),))
    full = Fault("disk:/var", "disk /var 97 %", measure="disk:/var", limit=90)
    conditions = (
        Condition("web1", replace(vitals, disks=(Disk("/", 9),))),
        Condition("web2", vitals, faults=(full, Fault("unit:x", "failed <b>nginx</b>"))),
        Condition("web3", error="no route to host"),
        Condition("web4", error="connection refused"),
    )

    async def scene(visitor: Visitor) -> None:
        reports = visitor.bench.bot.parts.reports
        quiet, soon = [("web4", "new disk")], [("web1", "disk / full in 2 days")]
        report = await asyncio.to_thread(reports.make, "#ops @all", conditions, quiet, soon)
        page = (await visitor.get(f"health/{report.number}")).text
        assert "2 of 3 hosts not fine" in page and "failed &lt;b&gt;nginx" in page
        assert re.findall(r"<td>(web\d)</td>", page) == ["web2", "web3", "web4", "web1"]
        assert page.count("part much") == 1 and "/var 97 %" in page
        assert "in maintenance: new disk" in page and "disk / full in 2 days" in page
        assert page.count("graph/web2/disk:/var?hours=24&amp;until=") == 1
        gone = await visitor.get("health/99")
        assert gone.status_code == 404 and "not kept any more" in gone.text

    visited(tmp_path, scene)


def test_without_its_link_nobody_sees_a_page(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        base = f"http://127.0.0.1:{visitor.port}"
        url = visitor.link("job/1")
        assert "hello" in (await visitor.client.get(url)).text
        for wrong in (
            f"{base}/job/1",
            url.replace("job/1?", "job/2?"),
            url.replace("job/1?", "job/1.txt?"),
            url[:-1],
            url.replace("&key=", "&key=a"),
            f"{base}/nothing",
        ):
            found = await visitor.client.get(wrong)
            assert (found.status_code, "hello" in found.text) == (404, False), wrong
        expired = visitor.bench.bot.parts.links.until("job/1", 1)
        found = await visitor.client.get(expired)
        assert found.status_code == 410 and "ask the bot for a new one" in found.text
        index = await visitor.client.get(f"{base}/")
        assert index.status_code == 200 and "got a link" in index.text and "job" not in index.text

    visited(tmp_path, scene)


def test_every_answer_tells_the_browser_to_keep_and_load_nothing(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        base = f"http://127.0.0.1:{visitor.port}"
        urls = [
            visitor.link("job/1"),
            f"{base}/",
            f"{base}/nothing",
            f"{base}/healthz",
            f"{base}/metrics",
        ]
        for url in urls:
            found = await visitor.client.get(url)
            headers = found.headers
            assert headers["cache-control"] == "no-store"
            assert headers["content-security-policy"].startswith(
                "default-src 'none'; style-src 'sha256-"
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "noindex" in headers["x-robots-tag"]
            assert "set-cookie" not in headers and "server" not in headers
            assert "<script" not in found.text and not re.search(r'src="|@import|url\(', found.text)

    visited(tmp_path, scene)


def test_the_style_of_a_page_is_the_one_its_header_allows(tmp_path: Path) -> None:
    import base64
    import hashlib

    async def scene(visitor: Visitor) -> None:
        await asyncio.to_thread(fill, visitor)
        for page in ("graph/web1/load?hours=24", "graph/web1/load.svg?hours=24"):
            found = await visitor.get(page)
            (style,) = re.findall(r"<style>(.*?)</style>", found.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in found.headers["content-security-policy"]
            assert " style=" not in found.text

    visited(tmp_path, scene)


def test_head_has_the_headers_and_no_body_and_nothing_can_be_sent(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("numbers 100000")
        url = visitor.link("job/1")
        head = await visitor.client.head(url)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == "text/html; charset=utf-8"
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await visitor.client.request(method, url)).status_code == 405

    visited(tmp_path, scene)


@pytest.mark.parametrize(
    "target", ["/../../etc/passwd", "/job/../job/1", "//etc/passwd", "/job/1/..%2f..%2fweb.key", "/%00", "/\x7f", "*"]
)  # fmt: skip
def test_paths_lead_nowhere_else(tmp_path: Path, target: str) -> None:
    async def scene(visitor: Visitor) -> None:
        async with raw(visitor.port) as (reader, writer):
            writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        assert re.match(rb"HTTP/1.1 40[04] ", answer) and b"root:" not in answer

    visited(tmp_path, scene)


@contextlib.asynccontextmanager
async def raw(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that sends what it is told to, and reads no more than it is told to."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=65536)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def big(visitor: Visitor, megabytes: int) -> None:
    """Job 1 has put out that much."""
    job = visitor.bench.bot.parts.jobs.find(1)
    line = b"all work and no play makes jack a dull boy <&> \x1b[31m0123456789\x1b[0m\n"
    with job.file().open("wb") as file:
        for _ in range(megabytes):
            file.write(line * (1_000_000 // len(line)))


def test_much_output_is_sent_whole_and_never_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        await asyncio.to_thread(big, visitor, 3)
        await visitor.get("job/1.txt")  # what is imported, and made once
        tracemalloc.start()
        try:
            size = 0
            async with visitor.client.stream("GET", visitor.link("job/1")) as response:
                async for piece in response.aiter_bytes():
                    size += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size > 3_000_000
        assert peak < 1_500_000

    visited(tmp_path, scene)


def test_a_reader_who_does_not_read_holds_up_nobody_and_costs_no_memory(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        await asyncio.to_thread(big, visitor, 12)
        url = urlsplit(visitor.link("job/1.txt"))
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(THREADS + 1):
                _, writer = await stack.enter_async_context(raw(visitor.port))
                writer.write(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            door = visitor.bench.bot._web._doors[Address("127.0.0.1", visitor.port)]
            connections = door._server.server_state.connections

            def waiting() -> list[int]:
                """Bytes that a connection does not get rid of."""
                sizes = [each.transport.get_write_buffer_size() for each in connections]
                return [size for size in sizes if size > 65536]

            await until(lambda: len(waiting()) > THREADS)
            assert max(waiting()) < 1_000_000
            assert (await visitor.get("job/1")).status_code == 200
            assert (await visitor.bench.say("say quick")).lines == ["quick"]

    visited(tmp_path, scene)


def test_a_web_server_in_front_may_leave_its_path(tmp_path: Path) -> None:
    async def scene(visitor: Visitor) -> None:
        await visitor.bench.say("say hello")
        link = visitor.link("job/1")
        assert link.startswith("https://ops.example.org/bot/job/1?")
        for base in (
            "bot/",
            "",
        ):  # nginx with `proxy_pass http://…;` and with `proxy_pass http://…/;`
            url = link.replace(
                "https://ops.example.org/bot/", f"http://127.0.0.1:{visitor.port}/{base}"
            )
            assert "hello" in (await visitor.client.get(url)).text

    visited(tmp_path, scene, web="base_url = https://ops.example.org/bot\n")


def test_a_fault_of_ours_is_logged_and_says_nothing_to_the_visitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Inventory, hosts: str) -> Any:
        raise RuntimeError("s3cret")

    async def scene(visitor: Visitor) -> None:
        monkeypatch.setattr(Inventory, "resolve", broken)
        found = await visitor.get("graph/web1/load?hours=24")
        assert found.status_code == 500 and "s3cret" not in found.text
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "s3cret" in caplog.text

    visited(tmp_path, scene)


def test_a_private_key_is_left_out_whole_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_page, "BLOCK", 20)
    lines = [
        "before",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQ" * 6,
        "IBADAN",
        "-----END PRIVATE KEY-----",
    ]
    path = tmp_path / "out"
    path.write_text("\n".join([*lines, "after", ""]))
    shown = "".join(job_page._blocks(lambda: path.open("rb"), redactor()))
    assert shown.split("\n") == ["before", lines[1], "***", "***", lines[4], "after", ""]
