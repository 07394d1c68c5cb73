"""Links: nobody can guess or change one, and each comes to its end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.config import Address, Web
from ircops.errors import OpsError
from ircops.web.links import Links, secret

WEB = Web((Address("127.0.0.1", 8642),), "https://ops.example.org/x/", link_time=600)  # type: ignore[arg-type]
SECRET = lambda: b"s" * 32  # noqa: E731


def expiry(links: Links, url: str) -> int | None:
    """As the site asks: the path decoded and without the base URL."""
    parts = urlsplit(url)
    return links.expiry(unquote(parts.path).removeprefix("/x/"), parts.query)


def test_a_link_says_the_page_and_how_long_it_is_good() -> None:
    links = Links(WEB, SECRET, now=lambda: 1000.5)
    url = links.to("graph/web1/load?hours=24")
    assert url.startswith("https://ops.example.org/x/graph/web1/load?hours=24&until=1600&key=")
    assert expiry(links, url) == 1600
    assert expiry(links, links.to("job/42", seconds=60)) == 1060
    assert expiry(links, links.until("job/42", 7)) == 7
    assert len(url) < 130  # it shares a line of IRC with other words


def test_a_link_ends() -> None:
    clock = [1000.0]
    links = Links(WEB, SECRET, now=lambda: clock[0])
    found = expiry(links, links.to("job/42"))
    assert found is not None and not links.is_over(found)
    clock[0] = 1600.0
    assert links.is_over(found)


def test_nothing_of_a_link_can_be_changed() -> None:
    links = Links(WEB, SECRET)
    url = links.to("graph/web1/load?hours=24")
    assert expiry(links, url)
    for wrong in (
        url.replace("web1", "web2"),
        url.replace("hours=24", "hours=9"),
        url.replace("until=1", "until=2"),
        url.replace("hours=24&", ""),
        url.replace("?hours", "?x=1&hours"),
        url.replace("&key=", "&until=99999999999&key="),
        url[:-1],
        url + "a",
        url.upper().replace("HTTPS://OPS.EXAMPLE.ORG/X/", "https://ops.example.org/x/"),
        url.partition("&key=")[0],
        url.partition("&key=")[0] + "&key=",
        url.partition("&key=")[0] + "&key=é",
    ):
        assert expiry(links, wrong) is None, wrong
    assert expiry(Links(WEB, lambda: b"t" * 32), url) is None


@given(st.text(), st.text())
def test_any_request_is_answered_and_none_of_these_is_ours(path: str, query: str) -> None:
    assert Links(WEB, SECRET).expiry(path, query) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_link_to_any_name_is_its_own(name: str) -> None:
    from ircops.ops.graphs import page

    links = Links(WEB, SECRET)
    url = links.to(page("web1", name, 24))
    assert url.isascii() and not set(url) & set(" \"<>\\^`{}|[]'")
    path = unquote(urlsplit(url).path)
    assert path == f"/x/graph/web1/{name}"
    assert expiry(links, url)


def test_there_are_no_links_while_nobody_answers_there() -> None:
    assert Links(WEB, SECRET, is_open=lambda: False).to("job/42") == ""
    assert Links(Web(), SECRET).to("job/42") == ""


def test_links_lead_to_the_first_address_unless_told_otherwise() -> None:
    web = Web((Address("::1", 80), Address("127.0.0.1", 8642)))
    assert Links(web, SECRET).to("job/1").startswith("http://[::1]:80/job/1?until=")


def test_the_secret_is_made_once_and_for_us_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        found = secret(tmp_path)
    finally:
        os.umask(mask)
    assert len(found) == 32 and secret(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == ["web.key"]
    assert stat.S_IMODE((tmp_path / "web.key").stat().st_mode) == 0o600


def test_a_secret_that_others_can_read_or_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    secret(tmp_path)
    (tmp_path / "web.key").chmod(0o640)
    with pytest.raises(OpsError, match=r"others may read .*web\.key"):
        secret(tmp_path)
    (tmp_path / "web.key").chmod(0o600)
    (tmp_path / "web.key").write_bytes(b"")
    with pytest.raises(OpsError, match="cut short"):
        secret(tmp_path)
    with pytest.raises(OpsError, match="cannot use"):
        secret(tmp_path / "missing")
