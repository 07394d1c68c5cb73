"""What was done to a chain since it was written: the entries that were changed, moved, removed or made anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ircops.store.chain import Head, hash_of

MOST = 10  # that are named by one look
START = Head(0, "")

Row = Mapping[str, Any]


def faults(links: Iterable[Row], kept: Head | None = None) -> list[str]:
    """A sentence for each place where the chain does not hold, the first first; [] = it is sound.

    `kept` is a head of before, from wherever the chain cannot be reached: it shows what was cut off at the
    end, and a chain that was made anew.
    """
    found: dict[int, str] = {}  # by the number it is about
    bent: dict[int, Row] = {}  # by their numbers: entries that do not say what they said
    last = START
    for row in links:
        seq = row["seq"]
        if seq > last.seq + 1:
            found[last.seq + 1] = _removed(last.seq + 1, seq - 1)
        elif row["previous"] != last.hash and last.seq not in bent and hash_of(row) == row["hash"]:
            found[seq] = f"entry {seq} does not follow entry {last.seq}: one of them was replaced"
        if hash_of(row) != row["hash"]:
            bent[seq] = row
        elif kept and kept.seq == seq and kept.hash != row["hash"]:
            found[seq] = f"entry {seq} is not the one that was kept: all up to it was made anew"
        last = Head(seq, row["hash"])
        if len(found) + len(bent) > MOST:
            break
    else:
        if kept and kept.seq > last.seq:
            found[last.seq + 1] = _removed(last.seq + 1, kept.seq)
    found |= dict(_named(bent))
    sentences = [found[seq] for seq in sorted(found)]
    if len(sentences) > MOST:
        sentences[MOST:] = ["and more: these are the first"]
    return sentences


def _named(bent: Mapping[int, Row]) -> Iterator[tuple[int, str]]:
    """What was done to each: where entries are moved, the places of some have the words of others."""
    places = {*bent, *(seq + 1 for seq in bent)}
    for seq, row in bent.items():
        was = [place for place in places if hash_of({**row, "seq": place}) == row["hash"]]
        if was:
            yield seq, f"entry {was[0]} stands in the place of entry {seq}"
        else:
            yield seq, f"entry {seq} was changed"


def _removed(first: int, last: int) -> str:
    return f"entry {first} was removed" if first == last else f"entries {first}-{last} were removed"
