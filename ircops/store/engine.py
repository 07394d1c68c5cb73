"""The database through SQLAlchemy: for who reads, and who changes what is no record.

Imported when the first of them comes, for it takes longer than all else that a bot needs to start: it starts, and
keeps its record, without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy import exc as faults

ALONE = "ircops_alone"  # execution option: the transaction takes the write lock when it begins


def create(
    url: URL, configure: Callable[[Any], None], begins: Mapping[bool, str], **options: Any
) -> Engine:
    """`configure` is for each connection that is made; `begins` is SQL for who writes alone, and for who does not."""
    engine = create_engine(url, hide_parameters=True, **options)
    event.listen(engine, "connect", lambda connection, entry: configure(connection))

    def begin(connection: Connection) -> None:
        alone = connection.get_execution_options().get(ALONE, False)
        driver: Any = (
            connection.connection.driver_connection
        )  # for a view may be read through a cursor
        driver.execute(begins[alone])

    event.listen(engine, "begin", begin)
    return engine


@contextmanager
def transaction(engine: Engine, *, alone: bool) -> Iterator[Connection]:
    """A view of the data or, `alone`, a transaction that writes.

    Raises what the driver raises, without SQLAlchemy's words around it; TimeoutError if too many have views.
    """
    chosen = engine.execution_options(**{ALONE: alone})
    try:
        with chosen.begin() if alone else chosen.connect() as connection:
            yield connection
    except faults.TimeoutError as error:
        raise TimeoutError(str(error)) from error
    except faults.DBAPIError as error:
        raise error.orig or error from error
