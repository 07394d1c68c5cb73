"""Everyday commands over a real OpenSSH. systemctl, journalctl and reboot are scripts that stand before the real ones."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ircops.errors import FAILED, OK, USAGE
from ircops.ssh.detach import Word
from tests.bench import Bench, Said, with_bot
from tests.people import until, until_true
from tests.real.sshd import HOSTS, Sshd, serve
from tests.real.test_ssh_real import opened

SETTINGS = """
[ssh]
user = {user}
key = {directory}/client
config = {directory}/no_ssh_config
known_hosts = {directory}/known_hosts
agent = no
connect_timeout = 5

[hosts]
{hosts}
gone = 127.0.0.1:1

[groups]
web = web[1-3]
"""

# A unit is a file of what `show` says; one with .breaks beside it fails a moment after it was started.
SYSTEMCTL = r"""#!/bin/sh
printf '%s|' systemctl "$@" >>"$HOME/called"; echo >>"$HOME/called"
verb=$1
for unit; do :; done
file=$HOME/units/$unit
tell() {
    printf 'LoadState=loaded\nType=%s\nActiveState=%s\nSubState=%s\nResult=%s\nUnitFileState=enabled\n' "$@" >"$file"
}
if [ "$verb" = show ]; then
    cat "$file" 2>/dev/null || printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\n'
    exit
fi
[ -f "$file" ] || { echo "Failed to $verb $unit.service: Unit $unit.service not found." >&2; exit 5; }
type=$(sed -n 's/^Type=//p' "$file")
case $verb:$type in
stop:*) tell "$type" inactive dead success ;;
*:oneshot) tell oneshot inactive dead success ;;
*) if [ -e "$file.breaks" ]; then tell "$type" failed failed exit-code; else tell "$type" active running success; fi ;;
esac
"""

JOURNALCTL = r"""#!/bin/sh
printf '%s|' journalctl "$@" >>"$HOME/called"; echo >>"$HOME/called"
after=0 cursors= bare=
for word; do
    case $word in
    --after-cursor=*) after=${word#*=} ;;
    --show-cursor) cursors=yes ;;
    cat) bare=yes ;;
    esac
done
tail -n "+$((after + 1))" "$HOME/journal"
[ "$cursors" ] && echo "-- cursor: $(($(wc -l <"$HOME/journal")))"
"""

# A host is an address here. It goes down by the end of its connection, and comes up with another boot id.
REBOOT = r"""#!/bin/sh
set -- $SSH_CONNECTION
echo "$3" >>"$HOME/rebooted"
[ -e "$HOME/boot/$3.stuck" ] && exit
pid=$$
until grep -q '(sshd' /proc/$pid/stat; do pid=$(sed -n 's/^PPid:\t//p' /proc/$pid/status); done
cat /proc/sys/kernel/random/uuid >"$HOME/boot/$3"
kill "$pid"
"""

CAT = r"""#!/bin/sh
if [ "$1" = /proc/sys/kernel/random/boot_id ]; then
    set -- $SSH_CONNECTION
    set -- "$HOME/boot/$3"
fi
exec /bin/cat "$@"
"""

BASIC = "awk bash cat cut grep head id sed sh sleep ssh-keygen tail tr wc".split()

EVIL = [
    "; cd; touch pwned",
    "$(cd; touch pwned)",
    "`cd; touch pwned`",
    "a' ; cd; touch pwned; '",
    'a" ; cd; touch pwned; "',
    "| cd && touch pwned",
    "x\ncd; touch pwned",
    "\\; cd; touch pwned",
    "*",
    "~ $HOME ${IFS} !!",
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("host")) as server:
        home = server.directory
        for directory in ("bin", "units", "boot"):
            (home / directory).mkdir()
        programs = {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "reboot": REBOOT, "cat": CAT}
        for name, text in programs.items():
            (home / "bin" / name).write_text(text)
            (home / "bin" / name).chmod(0o755)
        yield server


@pytest.fixture
def scene(host: Sshd, tmp_path: Path) -> Callable[[Callable[[Bench], Awaitable[None]]], None]:
    """Runs a scene with a bot that has web1 … web9, whose units are in order and whose journal is short."""
    home = host.directory
    for left in ("called", "rebooted", "pwned"):
        (home / left).unlink(missing_ok=True)
    for file in [*(home / "units").iterdir(), *(home / "boot").iterdir()]:
        file.unlink()
    for address in HOSTS.values():
        (home / "boot" / address).write_text(f"{uuid.uuid4()}\n")
    unit(host, "nginx")
    (home / "journal").write_text("one\ntwo words\nthree\n")
    (tmp_path / "scripts").mkdir()
    return lambda scene: with_bot(tmp_path, settings_for(host), scene)


def settings_for(host: Sshd) -> str:
    hosts = "\n".join(f"{name} = {address}:{host.port}" for name, address in HOSTS.items())
    return SETTINGS.format(user=host.user, directory=host.directory, hosts=hosts)


def unit(host: Sshd, name: str, kind: str = "simple") -> None:
    (host.directory / "units" / name).write_text(
        f"LoadState=loaded\nType={kind}\nActiveState=inactive\nSubState=dead\nResult=success\n"
    )


async def confirmed(bench: Bench, line: str, who: str = "alice") -> Said:
    asked = bench.begin(line, who)
    await until(lambda: asked.heard.lines)
    found = re.search(r"!confirm (\w+)", asked.heard.lines[0])
    assert found, asked.heard.lines
    assert (await bench.say(f"confirm {found[1]}", who)).code == OK
    said = await asked.end()
    del said.heard.said[0]
    return said


Scene = Callable[[Callable[[Bench], Awaitable[None]]], None]


def test_a_service_is_started_and_its_state_is_looked_at(scene: Scene, host: Sshd) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("service start nginx @web")
        assert said.lines == [
            "starting nginx on 3 hosts: web[1-3]",
            "web[1-3]: nginx is active (running)",
        ]
        assert said.code == OK
        said = await bench.say("service status nginx @web", "dave")
        assert said.lines == ["web[1-3]: nginx is active (running), enabled"]

    scene(play)


def test_a_service_that_breaks_after_its_start_has_failed_though_systemctl_was_content(
    scene: Scene, host: Sshd
) -> None:
    async def play(bench: Bench) -> None:
        (host.directory / "units/nginx.breaks").touch()
        said = await confirmed(bench, "service restart nginx web1")
        assert said.code == FAILED
        assert said.lines[0] == "restarting nginx on web1"
        assert said.lines[1:3] == ["web1:", "  nginx is failed (failed)"]

    scene(play)


def test_a_service_that_is_not_meant_to_stay_is_fine_when_it_ended_well(
    scene: Scene, host: Sshd
) -> None:
    async def play(bench: Bench) -> None:
        unit(host, "backup", "oneshot")
        said = await bench.say("service start backup web1")
        assert (said.code, said.lines[1]) == (OK, "web1: backup is inactive (dead)")
        assert (await bench.say("service reload nginx web1")).code == OK
        said = await confirmed(bench, "service stop nginx web1")
        assert (said.code, said.lines[1]) == (OK, "web1: nginx is inactive (dead)")

    scene(play)


def test_an_unknown_service_is_said(scene: Scene) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("service start ngnix web1")
        assert said.lines[1] == (
            "web1: Failed to start ngnix.service: Unit ngnix.service not found. (exit 5)"
        )
        said = await bench.say("service status ngnix web1")
        assert (said.code, said.lines) == (FAILED, ["web1: no unit ngnix (exit 1)"])
        said = await bench.say("service stop nginx* web1")
        assert (said.code, len(said.lines)) == (USAGE, 1)

    scene(play)


def test_a_host_without_systemd_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in BASIC:
        (bare / name).symlink_to(shutil.which(name) or name)

    async def play(bench: Bench) -> None:
        said = await bench.say("service status nginx web1")
        assert said.lines == ["web1: no systemd here (exit 1)"]
        assert "no systemd here" in (await bench.say("service start nginx web1")).text
        assert "name a file" in (await bench.say("logs web1")).text

    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(bare))  # what sshd hands on
        server = serve(tmp_path)
        host = server.__enter__()
    try:
        with_bot(tmp_path, settings_for(host), play)
    finally:
        server.__exit__(None, None, None)


def test_logs_of_the_journal_and_of_a_file(scene: Scene, host: Sshd) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("logs @web -n 2")
        assert said.lines == ["web[1-3]:", "  two words", "  three"]
        assert (await bench.say("service logs nginx web1 -n 1")).lines == ["web1: three"]
        assert (await bench.say("logs web1 -u nginx -g 'w.r'")).lines == ["web1: two words"]
        assert "--unit=nginx|" in (host.directory / "called").read_text()
        said = await bench.say(f"logs web1 -f {host.directory}/journal")
        assert "for admins" in said.text
        said = await bench.say(f"logs web1 -f /var/log/..{host.directory}/journal")
        assert "for admins" in said.text
        said = await bench.say(f"logs web1 -n 1 -f {host.directory}/journal", "carol")
        assert said.lines == ["web1: three"]
        said = await bench.say("logs web1 -f /var/log/there/is/none")
        assert said.lines == ["web1: cannot read /var/log/there/is/none (exit 1)"]

    scene(play)


@pytest.mark.parametrize("of", ["journal", "file"])
def test_logs_are_followed_until_they_are_told_to_stop(
    scene: Scene, host: Sshd, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr("ircops.commands.logs.OFTEN", 0.1)
    journal = host.directory / "journal"

    async def play(bench: Bench) -> None:
        which = f"-f {journal}" if of == "file" else ""
        following = bench.begin(f"logs web[1-2] -n 1 --follow 60 {which}", "carol")
        await until(lambda: {*following.heard.lines} >= {"web1: three", "web2: three"})
        with journal.open("a") as file:
            file.write("four\n")
        await until(lambda: {*following.heard.lines} >= {"web1: four", "web2: four"})
        if of == "file":
            journal.write_text("fresh\n")
            await until(lambda: {*following.heard.lines} >= {"web1: fresh", "web2: fresh"})
        assert (await bench.say("kill 1", "carol")).code == OK
        said = await following.end()
        assert said.code == FAILED and "killed by carol" in said.text
        assert said.lines.count("web1: three") == said.lines.count("web1: four") == 1

    scene(play)


def test_following_ends_by_itself(
    scene: Scene, host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.commands.logs.OFTEN", 0.1)

    async def play(bench: Bench) -> None:
        said = await bench.say("logs web1 -n 1 --follow 1")
        assert (said.code, said.lines) == (OK, ["web1: three", "that was 1 s"])

    scene(play)


def test_hosts_are_rebooted_in_waves_and_tell_a_new_boot_id(
    scene: Scene, host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.commands.reboot.OFTEN", 0.1)

    async def play(bench: Bench) -> None:
        before = {name: (host.directory / "boot" / HOSTS[name]).read_text() for name in HOSTS}
        said = await confirmed(bench, "reboot web[1-3]")
        assert said.lines[0] == "rebooting on 3 hosts: web[1-3]"
        assert re.fullmatch(r"web\S+: back after \d s", said.lines[1])
        assert said.code == OK
        rebooted = (host.directory / "rebooted").read_text().split()
        assert rebooted == [HOSTS["web1"], HOSTS["web2"], HOSTS["web3"]]
        after = {name: (host.directory / "boot" / HOSTS[name]).read_text() for name in HOSTS}
        assert {name for name in HOSTS if before[name] != after[name]} == {"web1", "web2", "web3"}

    scene(play)


def test_a_host_that_does_not_reboot_is_said_and_ends_the_waves(
    scene: Scene, host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.commands.reboot.OFTEN", 0.1)

    async def play(bench: Bench) -> None:
        (host.directory / "boot" / f"{HOSTS['web1']}.stuck").touch()
        said = await confirmed(bench, "reboot --timeout 2 web[1-3]")
        assert said.code == FAILED
        assert re.fullmatch(
            r"2 stopped: 1 of 3 failed; not started: web\[2-3\] · "
            r"1 still the same boot, \d s after it was told to: web1",
            said.lines[1],
        )
        assert (host.directory / "rebooted").read_text().split() == [HOSTS["web1"]]

    scene(play)


def test_who_is_not_root_asks_sudo_and_never_for_a_password(
    scene: Scene, host: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.commands.reboot.OFTEN", 0.1)
    programs = host.directory / "bin"

    async def play(bench: Bench) -> None:
        for word, code in (("-n", OK), ("", FAILED)):
            # as sudo(8) has it: with -n it fails where a password is wanted
            sudo = f'[ "$1" = "{word}" ] || {{ echo "sudo: a password is required"; exit 1; }} >&2'
            for name, text in {"id": "echo 1000", "sudo": f'{sudo}\nshift\nexec "$@"'}.items():
                (programs / name).write_text(f"#!/bin/sh\n{text}\n")
                (programs / name).chmod(0o755)
            said = await confirmed(bench, "reboot web1")
            assert said.code == code
            if code:
                assert said.lines[1] == "web1: sudo: a password is required (exit 1)"
            assert (await bench.say("service start nginx web1")).code == code

    try:
        scene(play)
    finally:
        (programs / "id").unlink()
        (programs / "sudo").unlink()


def test_top_names_the_busiest_processes(scene: Scene) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("top web1", "dave")
        one = r"(idle|.+\[\d+\] \d+ {}(, .+\[\d+\] \d+ {})*)"
        assert re.fullmatch(
            rf"web1: cpu: {one.format('%', '%')} · memory: {one.format('MiB', 'MiB')}", said.text
        )

    scene(play)


def own(directory: Path, name: str, text: str, mode: int = 0o755) -> None:
    (directory / "scripts" / name).write_text(text)
    (directory / "scripts" / name).chmod(mode)


def copies(host: Sshd) -> list[Path]:
    return list(host.directory.glob(".ircops-*"))


def test_a_script_is_copied_run_and_removed(scene: Scene, host: Sshd, tmp_path: Path) -> None:
    own(tmp_path, "greet", '#!/bin/sh\necho "$1, $2 from $IRCOPS_USER"; exit "$3"\n')

    async def play(bench: Bench) -> None:
        said = await bench.say("script greet @web 'hello  world;' --you 0")
        assert said.lines == [
            "running script greet on 3 hosts: web[1-3]",
            "web[1-3]: hello  world;, --you from alice",
        ]
        said = await bench.say("script greet web1,gone a b 3")
        assert said.code == FAILED
        assert said.lines[1] == "web1: a, b from alice (exit 3)"
        assert said.lines[2].startswith("gone: ")
        assert not copies(host)

    scene(play)


def test_a_script_that_is_killed_is_removed_too(scene: Scene, host: Sshd, tmp_path: Path) -> None:
    own(
        tmp_path,
        "deaf",
        "#!/bin/sh\ntrap '' TERM\ntouch ~/begun\nwhile :; do sleep 0.1; done\n",
    )

    async def play(bench: Bench) -> None:
        slow = bench.begin("script deaf web1")
        await until((host.directory / "begun").exists)
        assert copies(host)
        assert "killed on web1" in (await bench.say("kill 1", "carol")).text
        await slow.end()
        assert not copies(host)

    scene(play)


def test_a_detached_script_goes_on_when_it_is_followed_no_more(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "wait", "#!/bin/sh\nuntil [ -e ~/go ]; do sleep 0.1; done; echo $1 >~/done\n")
    go, done = host.directory / "go", host.directory / "done"
    kept = ".local/state/ircops/jobs/*"

    async def play(bench: Bench) -> None:
        bench.begin("script --detach wait web1 fine")
        await until(lambda: list(host.directory.glob(f"{kept}/pid")))
        await until(lambda: list(host.directory.glob(f"{kept}/.ircops-*-wait")))

    scene(play)  # and the bot is gone
    assert not done.exists()
    go.touch()
    until_true(lambda: done.exists() and not list(host.directory.glob(f"{kept}/.ircops-*-wait")))
    assert not copies(host)
    assert done.read_text() == "fine\n"
    go.unlink()


def test_a_detached_script_that_is_killed_after_a_restart_leaves_nothing(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "deaf", "#!/bin/sh\ntrap '' TERM\ntouch ~/deaf\nwhile :; do sleep 0.1; done\n")

    kept = ".local/state/ircops/jobs/*/.ircops-*-deaf"

    async def begin(bench: Bench) -> None:
        bench.begin("script --detach deaf web1")
        await until((host.directory / "deaf").exists)

    scene(begin)
    assert not copies(host)  # it lies with what is kept of the run
    (database,) = (tmp_path / "state").glob("*.sqlite*")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        ((word,),) = connection.execute("SELECT word FROM detached").fetchall()
    with opened(host.settings()) as fanout:
        found = fanout.run("", "web1", detach=Word(word, is_known=True))
        found.stop("killed by carol")
        assert found.ending == "killed on web1"
        assert list(host.directory.glob(kept))
        fanout.forget(Word(word), "web1").wait()
    assert not copies(host) and not list(host.directory.glob(kept))
    (host.directory / "deaf").unlink()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", ".hidden", "grete"])
def test_only_plain_files_of_the_directory_are_scripts(
    scene: Scene, host: Sshd, tmp_path: Path, name: str
) -> None:
    own(tmp_path, "greet", "#!/bin/sh\n")
    own(tmp_path, ".hidden", "#!/bin/sh\n")
    (tmp_path / "secret").write_text("#!/bin/sh\n")
    (tmp_path / "scripts/link").symlink_to(tmp_path / "secret")

    async def play(bench: Bench) -> None:
        said = await bench.say(f"script {name} web1")
        assert said.code == FAILED and said.text.startswith(f"no file {name} in ")
        assert said.text.endswith("greet" + "?" * (name == "grete"))

    scene(play)


def test_a_file_is_put_whole_with_its_mode_and_read_again(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "motd", "hello\nworld\n", 0o640)
    (tmp_path / "scripts/blob").write_bytes(bytes(range(256)) * 1000)

    async def play(bench: Bench) -> None:
        assert "needs role admin" in (await bench.say("put motd web1 motd")).text
        said = await bench.say("put motd web1 motd", "carol")
        assert said.lines == ["copying motd on web1", "web1: motd: 12 bytes"]
        assert (host.directory / "motd").stat().st_mode & 0o777 == 0o640
        assert (await bench.say("get web1 motd", "carol")).lines == ["hello", "world"]

        assert (await bench.say("put blob web1 units/", "carol")).code == OK
        said = await bench.say("get web1 units/blob", "carol")
        found = re.fullmatch(r"256000 bytes, kept as (.*)", said.text)
        assert found and Path(found[1]).read_bytes() == bytes(range(256)) * 1000
        assert Path(found[1]).stat().st_mode & 0o777 == 0o600

    scene(play)


def test_what_cannot_be_put_or_read_changes_nothing_and_is_a_sentence(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "motd", "hello\n")

    async def play(bench: Bench) -> None:
        said = await bench.say("put motd web1 nowhere/motd", "carol")
        assert said.lines[1] == "web1: nowhere/motd: no such file or directory"
        said = await bench.say("put motd web1 units", "carol")
        assert said.lines[1].startswith("web1: units: refused there")
        assert (await bench.say("get web1 units", "carol")).text == (
            "web1: units is no regular file"
        )
        assert (await bench.say("get web1 none", "carol")).text == (
            "web1: none: no such file or directory"
        )
        assert (await bench.say("get web[1-2] motd", "carol")).code == USAGE
        assert not list(host.directory.glob("units.*"))

    scene(play)


def test_a_host_without_sha256sum_is_read_back_and_one_that_lies_is_found_out(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "motd", "hello\n")
    fake = host.directory / "bin/sha256sum"

    async def play(bench: Bench) -> None:
        fake.write_text("#!/bin/sh\nexit 127\n")
        fake.chmod(0o755)
        assert (await bench.say("put motd web1 motd2", "carol")).code == OK
        fake.write_text(f"#!/bin/sh\necho {'0' * 64}\n")
        said = await bench.say("put motd web1 motd3", "carol")
        assert "what arrived is not what was sent" in said.text
        assert [path.name for path in host.directory.glob("motd[23]*")] == ["motd2"]

    try:
        scene(play)
    finally:
        fake.unlink()


def test_nothing_in_an_argument_is_special_to_the_shell(
    scene: Scene, host: Sshd, tmp_path: Path
) -> None:
    own(tmp_path, "echo", '#!/bin/sh\nfor word; do printf "<%s>" "$word"; done\n')

    async def play(bench: Bench) -> None:
        for evil in EVIL:
            for line, answer in answers_to(evil).items():
                said = await bench.say(line, "carol")
                flat = re.sub(r"\n *", " ", said.text)
                assert answer.replace("\n", " ") in flat, line

    scene(play)
    home = host.directory
    assert not (home / "pwned").exists()
    called = (home / "called").read_text()
    for evil in EVIL:
        assert (home / evil).read_text().startswith("#!/bin/sh")  # where put was told to
        (home / evil).unlink()
        assert f"|--unit={evil}|\n" in called
    assert called.count("journalctl|") == 2 * len(EVIL)
    assert "systemctl|" not in called and not (home / "rebooted").exists()
    assert not copies(host)


def answers_to(evil: str) -> dict[str, str]:
    """Lines with a word in each argument, and a piece of what must be said to them."""
    word = shlex.quote(evil)
    return {
        f"run web1 printf %s. x {word}": f"x.{evil}.",
        f"script echo web1 {word} {word}": f"<{evil}><{evil}>",
        f"script {word} web1": "no file ",
        f"service status {word} web1": "",
        f"service start {word} web1": "",
        f"service logs {word} web1": "",
        f"logs web1 -u {word}": "",
        f"logs web1 -g {word}": "",
        f"logs web1 -f {word}": "cannot read ",
        f"get web1 {word}": "no such file",
        f"put echo web1 {word}": "bytes",
        f"put {word} web1 x": "no file ",
        f"top {word}": "",
        f"reboot nowhere,{word}": "",
    }
