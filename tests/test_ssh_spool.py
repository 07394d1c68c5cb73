"""What is kept of a stream, whatever its size; streams over SSH are in real/test_ssh_spool.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from ircops.ssh.spool import KEPT, TAIL, Spool, Stream, files


def test_little_output_is_kept_whole_and_makes_no_file(tmp_path: Path) -> None:
    stream = Stream("web1.out", Spool(tmp_path, 100))
    stream.add(b"caf\xe9 ")
    stream.add("é".encode())
    assert (stream.text, stream.end, stream.path) == ("caf\ufffd é", "caf\ufffd é", None)
    assert not list(tmp_path.iterdir())


def test_exactly_what_fits_is_kept_whole() -> None:
    stream = Stream("web1.out", None)
    stream.add(b"x" * KEPT)
    assert stream.text == "x" * KEPT
    stream.add(b"y")
    assert stream.text.startswith(
        "x" * (KEPT - TAIL) + "\n(… 0.0 MB left out here, and not kept)\n"
    )
    assert stream.text.endswith("xy")


@pytest.mark.parametrize("step", [70_001, 3_000_000])
def test_of_much_the_ends_are_in_memory_and_all_is_in_the_file(tmp_path: Path, step: int) -> None:
    data = b"\xff\x00" + b"".join(b"%07d\n" % number for number in range(400_000))
    stream = Stream("web1.out", Spool(tmp_path / "7", 10**9))
    for at in range(0, len(data), step):
        stream.add(data[at : at + step])
        assert len(stream._head) + len(stream._tail) <= KEPT + 2 * TAIL
    stream.close()
    assert stream.path == tmp_path / "7" / "web1.out"
    assert stream.path.read_bytes() == data
    assert stream.path.stat().st_mode & 0o777 == 0o600
    head, tail = stream.text.split("\n(… 2.2 MB left out here; 7/web1.out has all of it)\n")
    assert head == data[: KEPT - TAIL].decode(errors="replace")
    assert tail == data[-TAIL:].decode() == stream.end


def test_a_job_has_so_much_room_on_disk_and_what_is_more_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "7", 3_000_000)
    one, other = Stream("web1.out", spool), Stream("web2.out", spool)
    for stream in (one, other):
        stream.add(b"x" * 2_000_000)
        stream.add(b"y" * 1_000_000)
        stream.close()
    assert sum(path.stat().st_size for path in files(tmp_path / "7")) == 3_000_000
    assert "7/web1.out has all of it" in one.text
    assert other.size == 3_000_000 and "left out here, and not kept" in other.text


def test_a_full_disk_costs_the_file_and_not_the_command(tmp_path: Path) -> None:
    (tmp_path / "7").write_text("in the way")
    stream = Stream("web1.out", Spool(tmp_path / "7", 10**9))
    stream.add(b"x" * 2 * KEPT)
    assert "left out here, and not kept" in stream.text


def test_no_host_can_name_a_file_elsewhere_and_each_finds_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "7", 10**9)
    for host in ("../x", "..", "a~2", "a", "db.example.com"):
        for _ in range(2):
            spool.open(f"{host}.out").close()
    assert {path.parent for path in tmp_path.rglob("*.out")} == {tmp_path / "7"}
    assert [path.name for path in files(tmp_path / "7", "a")] == ["a.out", "a~2.out"]
    assert [path.name for path in files(tmp_path / "7", "a~2")] == ["a%7E2.out", "a%7E2~2.out"]
    assert len(list(files(tmp_path / "7", ".."))) == 2
