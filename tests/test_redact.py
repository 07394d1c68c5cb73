from __future__ import annotations

import time

import pytest

from ircops.config import Bot, Join, Network, Provider, Secret, Settings, Where
from ircops.redact import ByLine, redactor, secrets_of


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("load @web", "load @web"),
        ("run 'mysql -u root --password tiger' db1", "run 'mysql -u root --password *** db1"),
        ("run 'mysql --password=tiger --quick'", "run 'mysql --password=*** --quick'"),
        ("deploy API_TOKEN=abc123 shop", "deploy API_TOKEN=*** shop"),
        ("deploy PGPASSWORD='two words' shop", "deploy PGPASSWORD=*** shop"),
        ('note the password: "two words" ok', "note the password: *** ok"),
        ('note password="two words', "note password=***"),
        ("set --db-api-key -x1", "set --db-api-key ***"),
        ("fetch https://bob:s3cret@example.org/x", "fetch https://bob:***@example.org/x"),
        ("curl -H 'Authorization: Basic Ym9i' x", "curl -H 'Authorization: Basic *** x"),
        ("header Bearer eyJhbGci.x", "header Bearer ***"),
        ("rotate the password of db1", "rotate the password of db1"),
        ("aws AKIAIOSFODNN7EXAMPLE eu", "aws *** eu"),
        (f"clone ghp_{'a1' * 18} x", "clone *** x"),
        (f"push glpat-{'x-9_' * 5}", "push ***"),
        (f"say xoxb-{'12345-' * 4}z", "say ***"),
        (f"pay sk-live-{'q' * 24}", "pay ***"),
        (f"login eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{'s' * 43} ok", "login *** ok"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----b3BlbnNzaC", "-----BEGIN OPENSSH PRIVATE KEY-----***"),
        ("the disk-usage of asia-east1, high", "the disk-usage of asia-east1, high"),
    ],
)
def test_what_looks_like_a_secret_becomes_stars(said, shown):
    assert redactor()(said) == shown


def test_a_known_secret_becomes_stars_wherever_it_stands():
    redact = redactor(["hunter2", "hunter2-and-more", "a|b", ""])
    assert redact("xhunter2x hunter2-and-more a|b a b") == "x***x *** *** a b"


@pytest.mark.parametrize(
    "piece",
    ["token", "-", "--", "a", "://a:", "--password", "bearer ", '"', "=", "sk-", "eyJa.", "AKIA"],
)
def test_a_very_long_line_takes_no_time(piece):
    started = time.process_time()
    redactor(["hunter2"])(piece * 20_000)
    assert time.process_time() - started < 2


KEY = """\
web1:
  -----BEGIN OPENSSH PRIVATE KEY-----
  b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
  QyNTUxOQAAACDqrOJ9
  -----END OPENSSH PRIVATE KEY-----
  after it"""


def test_all_lines_of_a_private_key_become_stars():
    said = [*map(ByLine(redactor()), KEY.split("\n"))]
    assert said == [
        *("web1:", "  -----BEGIN OPENSSH PRIVATE KEY-----", "***", "***"),
        *("  -----END OPENSSH PRIVATE KEY-----", "  after it"),
    ]


@pytest.mark.parametrize(
    ("after", "shown"),
    [
        (["Proc-Type: 4,ENCRYPTED", "", "MIIE"], ["***", "***", "***"]),
        (
            ["(… 2.1 MB left out here)", "the rest of it"],
            ["(… 2.1 MB left out here)", "the rest of it"],
        ),
    ],
)
def test_a_key_that_is_cut_off_does_not_eat_what_follows(after, shown):
    clean = ByLine(redactor())
    clean("-----BEGIN RSA PRIVATE KEY-----")
    assert [*map(clean, after)] == shown
    whole = ByLine(redactor())
    whole("-----BEGIN RSA PRIVATE KEY-----MIIE-----END RSA PRIVATE KEY-----")
    assert whole("shown") == "shown"


def test_the_secrets_of_the_settings_are_all_that_must_never_be_said() -> None:
    network = Network(
        sasl_password=Secret("one"),
        server_password=Secret("two"),
        channels=(Join("#ops"), Join("#secret", Secret("three"))),
    )
    settings = Settings(
        bot=Bot(
            copy=Secret("https://four"), database=Where("postgresql+psycopg://bot:five@db/ircops")
        ),
        networks={"one": network},
        providers={"aws": Provider(account=Secret("six"), secret=Secret("seven"))},
    )
    found = secrets_of(settings)
    assert sorted(found) == sorted(["one", "two", "three", "https://four", "five", "six", "seven"])
    assert all(type(secret) is str for secret in found)
