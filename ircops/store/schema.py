"""The tables, in terms any SQL database knows; the migrations make them.

Times are text in UTC, always 27 characters: `2026-11-22T09:00:00.000000Z`. The record hashes what it
stores, so no driver may round, shift or re-zone a time on its way in or out; and text of one width
sorts as time does.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

TIME = String(27)


def _text(name: str) -> Column[str]:
    """A column that says nothing with "", never with NULL."""
    return Column(name, Text, nullable=False, server_default="")


record = Table(
    "record",
    metadata,
    Column(
        "seq", Integer, primary_key=True, autoincrement=False
    ),  # 1, 2, 3 …: a gap is a missing row
    Column("call", Integer),  # the call's number; NULL: no call, the bot's own news
    Column("at", TIME, nullable=False),
    Column("event", Text, nullable=False),
    _text("door"),
    _text("network"),
    _text("channel"),
    _text("user"),
    _text("role"),
    _text("account"),
    _text("evidence"),
    _text("mask"),
    _text("message_id"),
    _text("line"),
    _text("command"),
    _text("hosts"),  # folded
    _text("plan"),  # SHA-256 of what consent was given to, hex
    _text("approvers"),  # separated by spaces
    _text("outcome"),
    Column("exit_code", Integer),
    Column("milliseconds", Integer),  # a whole number, for a fraction has many spellings to hash
    Column("lines", Integer),
    _text("digest"),  # SHA-256 of the output, hex
    _text("previous"),  # hash of the row before; "" in the first
    Column("hash", String(64), nullable=False),
    Index("record_call", "call"),
    Index("record_at", "at"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Integer, nullable=False),  # the last number given out
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("seen_at", TIME, nullable=False),  # runs up to here are dealt with
    Column("last_run_at", TIME),
    Column("paused_at", TIME),
    _text("paused_by"),  # "" = not paused
)

transcript = Table(
    "transcript",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", TIME, nullable=False),  # the server's time where it says one, else ours
    Column("network", Text, nullable=False),
    Column("channel", Text, nullable=False),  # as the settings write it
    _text("nick"),
    _text("account"),
    Column("kind", Text, nullable=False),
    _text("text"),
    Column("is_ours", Integer, nullable=False),  # 1: the bot said it
    Column("message_id", Text),  # NULL: none, for only NULLs may be equal in a unique index
    Index("transcript_at", "at"),
    Index("transcript_place", "network", "channel", "at"),
    Index("transcript_message", "network", "channel", "message_id", unique=True),
)

unanswered = Table(
    "unanswered",
    metadata,
    Column("call", Integer, primary_key=True, autoincrement=False),
    Column("ends_at", TIME, nullable=False),  # until when consent may come
    _text("network"),
    _text("channel"),
    _text("name"),
    _text("account"),
    _text("mask"),
    _text("evidence"),
    _text("line"),
)

locks = Table(
    "locks",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("since", TIME, nullable=False),
    _text("holder"),
    _text("place"),  # network/#channel where it was taken; "" = in private
    _text("reason"),
)

detached = Table(
    "detached",
    metadata,
    Column("word", String(32), primary_key=True),  # what a run is found again by, on its hosts
    Column("call", Integer, nullable=False),
    Column("hosts", Text, nullable=False),  # separated by spaces
    Column("ends_at", TIME, nullable=False, server_default=""),  # its time limit; "" = none
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Index("series_name", "host", "measure", unique=True),
)

samples = Table(
    "samples",
    metadata,
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),  # its length in seconds
    # seconds since the epoch: of millions of rows each byte counts, and nothing hashes them
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),  # of values in the step
    Column("low", Double, nullable=False),
    Column("mean", Double, nullable=False),
    Column("high", Double, nullable=False),
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", TIME, nullable=False),
    Column("subject", Text, nullable=False),  # who asks for which hosts, where: these are compared
    Column("body", Text, nullable=False),  # JSON
    Index("reports_subject", "subject", "number"),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("ends", TIME, nullable=False),
    Column("by_whom", Text, nullable=False),
    _text("reason"),
)

watches = Table(
    "watches",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("body", Text, nullable=False),  # JSON: what is wrong, and who was told
)

machines = Table(
    "machines",
    metadata,
    Column("label", String(36), primary_key=True),  # written on it by the call that creates it
    Column("name", String(64), nullable=False, unique=True),  # the host it is afterwards
    Column("provider", String(64), nullable=False),
    Column("state", String(16), nullable=False),  # creating, setup, ready, stopped, failed
    Column("port", Integer, nullable=False),
    Column("job", Integer, nullable=False),  # that made it
    Column("warned", Integer, nullable=False),  # how often, that its time is nearly up
    Column("is_adopted", Integer, nullable=False),  # 1: the bot did not make it
    Column("made_at", TIME, nullable=False),
    Column("expires_at", String(27), nullable=False, server_default=""),  # "" = never
    *(
        _text(name)
        for name in "id group image size user address jump host_key why by network channel".split()
    ),
)
