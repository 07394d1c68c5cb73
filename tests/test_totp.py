"""One-time codes: each is good once, guessing is slow, and what is known of them outlives a restart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from click.testing import CliRunner

from ircops.cli import main
from ircops.errors import Denied, OpsError
from ircops.totp import STEP, Totp

NOON = 1_790_000_010.0


class Clock:
    """Turned by hand; seconds since 1970."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def totp(tmp_path: Path, clock: Clock) -> Totp:
    return Totp(tmp_path, clock)


def authenticator(totp: Totp, account: str = "alice") -> pyotp.TOTP:
    link = totp.add(account, "opsbot")
    return pyotp.TOTP(parse_qs(urlsplit(link).query)["secret"][0])


def test_a_code_is_good_for_a_while(totp: Totp, clock: Clock) -> None:
    phone = authenticator(totp)
    assert not totp.is_given("alice", 900)
    totp.give("ALICE", phone.at(NOON))
    assert totp.is_given("alice", 900) and totp.is_given("Alice", 900)
    assert not totp.is_given("bob", 900)
    clock.at += 900
    assert not totp.is_given("alice", 900)
    clock.at = NOON - 1  # set back
    assert not totp.is_given("alice", 900)


def test_a_code_is_good_once_also_after_a_restart(totp: Totp, tmp_path: Path, clock: Clock) -> None:
    phone = authenticator(totp)
    totp.give("alice", phone.at(NOON))
    for again in (totp, Totp(tmp_path, clock)):
        with pytest.raises(Denied, match="used or void"):
            again.give("alice", phone.at(NOON))
        with pytest.raises(Denied, match="used or void"):
            again.give("alice", phone.at(NOON - STEP))  # an older one, never used
    assert not Totp(tmp_path, clock).is_given("alice", 900)
    clock.at += STEP
    totp.give("alice", phone.at(clock.at))


def test_clocks_may_be_half_a_minute_apart_but_not_a_minute(totp: Totp) -> None:
    phone = authenticator(totp)
    totp.give("alice", phone.at(NOON - STEP))
    totp.give("alice", phone.at(NOON + STEP))
    with pytest.raises(Denied, match="wrong code"):
        totp.give("alice", phone.at(NOON + 2 * STEP))


def test_guessing_is_ever_slower_also_after_a_restart(
    totp: Totp, tmp_path: Path, clock: Clock
) -> None:
    phone = authenticator(totp)
    wrong = "000000" if phone.at(NOON) != "000000" else "000001"
    tries = 0
    for _ in range(24 * 60):  # a day of trying each minute
        clock.at += 60
        try:
            Totp(tmp_path, clock).give("alice", wrong)
        except Denied as error:
            tries += "too many" not in error.message
    assert tries < 20
    with pytest.raises(Denied, match="too many wrong codes; wait"):
        totp.give("alice", phone.at(clock.at))
    clock.at += 86400
    totp.give("alice", phone.at(clock.at))
    with pytest.raises(Denied, match="wrong code"):
        totp.give("alice", wrong)  # counted from none again


def test_a_burnt_code_is_void(totp: Totp) -> None:
    phone = authenticator(totp)
    totp.burn("alice", phone.at(NOON))
    with pytest.raises(Denied, match="used or void"):
        totp.give("alice", phone.at(NOON))


@pytest.mark.parametrize("code", ["", "１２３４５６", "12345", "1234567", "x" * 9999])
def test_what_is_no_code_is_a_wrong_one(totp: Totp, code: str) -> None:
    authenticator(totp)
    with pytest.raises(Denied, match="wrong code"):
        totp.give("alice", code)


def test_a_removed_secret_takes_its_code_along(totp: Totp, tmp_path: Path, clock: Clock) -> None:
    phone = authenticator(totp)
    totp.give("alice", phone.at(NOON))
    Totp(tmp_path, clock).remove("Alice")  # at a shell
    assert not totp.is_given("alice", 900)
    totp.add("alice", "opsbot")
    assert not totp.is_given("alice", 900)


def test_a_second_secret_is_refused(totp: Totp) -> None:
    authenticator(totp)
    with pytest.raises(OpsError, match="ircops totp remove Alice first"):
        totp.add("Alice", "opsbot")
    with pytest.raises(OpsError, match="bob has none; there are alice"):
        totp.remove("bob")
    with pytest.raises(Denied, match="bob has no authenticator"):
        totp.give("bob", "123456")


def test_only_the_owner_can_read_the_secrets(totp: Totp, tmp_path: Path) -> None:
    authenticator(totp)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600] * 2


def test_a_broken_file_lets_nobody_through(totp: Totp, tmp_path: Path) -> None:
    phone = authenticator(totp)
    totp.give("alice", phone.at(NOON))
    (tmp_path / "totp.json").write_text("{")
    with pytest.raises(OpsError, match="cannot read"):
        totp.is_given("alice", 900)


def test_enrolment_at_a_shell_shows_the_secret_once(tmp_path: Path) -> None:
    config = tmp_path / "ircops.ini"
    config.write_text(f"[bot]\nstate = {tmp_path}/state\n")
    run = CliRunner().invoke
    added = run(main, ["totp", "add", "--config", str(config), "Alice"])
    assert added.exit_code == 0, added.output
    link = re.search(r"otpauth://totp/opsbot:Alice\?secret=(\w{32})&issuer=opsbot", added.output)
    assert link and "█" in added.output
    kept = json.loads((tmp_path / "state" / "totp.json").read_text())
    assert kept["alice"]["secret"] == link[1]
    listed = run(main, ["totp", "list", "--config", str(config)])
    assert listed.output == "alice\n"
    again = run(main, ["totp", "add", "--config", str(config), "alice"])
    assert again.exit_code == 1 and "has one already" in again.output
    for nobody in ("*", "mask:*!*@host", "libera/alice"):
        refused = run(main, ["totp", "add", "--config", str(config), nobody])
        assert refused.exit_code == 2
    assert run(main, ["totp", "remove", "--config", str(config), "ALICE"]).exit_code == 0
    assert run(main, ["totp", "list", "--config", str(config)]).output == ""
