"""Statements of PostgreSQL on the hot path: prepared once for a connection, arrays in binary.

What the library does between a statement and the wire costs more than a batch of rows. This goes
straight to libpq, inside the transaction of a connection of the library, and raises what the
library would raise.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from gateway.adapters.ledger.instant import Instant, as_instant, as_number

_PREPARED = "prepared"
_NO_SUCH_STATEMENT = "26000"
_OURS = os.urandom(8).hex().encode()
"""A pooler may give us the session of another process, which has names of its own."""
_numbers = count()
_NULL = b"\xff\xff\xff\xff"
_HEAD = struct.Struct(">iiIii").pack
_LENGTH = struct.Struct(">i").pack


@dataclass(frozen=True, slots=True)
class Element:
    """How one value of a type travels; ``oid`` as PostgreSQL numbers its own types."""

    oid: int
    encode: Callable[[Any], bytes]


ELEMENTS = {
    "TEXT": Element(25, str.encode),
    "BIGINT": Element(20, struct.Struct(">q").pack),
    "INTEGER": Element(23, struct.Struct(">i").pack),
    "BYTEA": Element(17, bytes),
    "BOOLEAN": Element(16, lambda value: b"\x01" if value else b"\x00"),
    "JSON": Element(114, lambda value: json.dumps(value).encode()),
}
"""By the name of the type in SQL."""

INSTANT = Element(ELEMENTS["BIGINT"].oid, lambda value: ELEMENTS["BIGINT"].encode(as_number(value)))


def array(element: Element, values: Sequence[Any]) -> bytes:
    """One column of a batch, NULL for None."""
    parts = [b""]
    holes = 0
    encode = element.encode
    for value in values:
        if value is None:
            holes = 1
            parts.append(_NULL)
        else:
            raw = encode(value)
            parts.append(_LENGTH(len(raw)))
            parts.append(raw)
    parts[0] = _HEAD(1, holes, element.oid, len(values), 1)
    return b"".join(parts)


class Shape:
    """What rows with these columns look like when they come back."""

    def __init__(self, columns: Sequence[sa.ColumnElement[Any]]) -> None:
        fields = [(str(each.key), Any) for each in columns]
        self._row: Any = NamedTuple("Row", fields)  # type: ignore[misc]
        self._readers = [(place, _reader(each.type)) for place, each in enumerate(columns)]

    def rows(self, found: PGresult) -> list[Any]:
        """Every row, with the columns as attributes."""
        row, get, readers = self._row, found.get_value, self._readers
        return [
            row(
                *[None if (raw := get(at, place)) is None else read(raw) for place, read in readers]
            )
            for at in range(found.ntuples)
        ]


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, signed=True)


def _instant(raw: bytes) -> datetime:
    return as_instant(_number(raw))


def _reader(kind: sa.types.TypeEngine[Any]) -> Callable[[bytes], Any]:
    """From the binary form; of the types that are asked for on the hot path."""
    if isinstance(kind, Instant):
        return _instant
    if isinstance(kind, sa.Boolean):
        return b"\x01".__eq__
    if isinstance(kind, sa.Integer):
        return _number
    return bytes if isinstance(kind, sa.LargeBinary) else bytes.decode


def run(connection: sa.Connection, statement: str, values: Sequence[bytes]) -> PGresult:
    """Execute in the transaction of this connection, which the library ends.

    Who listens to the statements of the engine hears this one as well.

    Args:
        statement: With ``$1``, ``$2``, …; the same text is prepared once.
        values: In the binary form of their types.

    Returns:
        Columns in their binary form.

    Raises:
        DBAPIError: as the library raises it, without values.
    """
    raw = _raw(connection)
    prepared: dict[str, bytes] = connection.info.setdefault(_PREPARED, {})
    heard = connection.engine.dispatch
    for before in heard.before_cursor_execute:
        before(connection, None, statement, values, None, False)  # noqa: FBT003 - as they take it
    try:
        if raw.transaction_status == TransactionStatus.IDLE:  # the library begins late
            _checked(raw.exec_(b"BEGIN"))
        name = prepared.get(statement)
        if name is None:
            name = b"gateway_%b_%d" % (_OURS, next(_numbers))
            _checked(raw.prepare(name, statement.encode()))
            prepared[statement] = name
        formats = [Format.BINARY] * len(values)
        result = _checked(raw.exec_prepared(name, values, formats, Format.BINARY))
    except psycopg.Error as error:
        if error.sqlstate == _NO_SUCH_STATEMENT:
            prepared.clear()
            error = psycopg.OperationalError("a pooler gave this connection another session")
        raise _failed(connection, statement, error) from None
    for after in heard.after_cursor_execute:
        after(connection, None, statement, values, None, False)  # noqa: FBT003 - as they take it
    return result


_BEGIN_WITH_KEPT_PLANS = (
    b"BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; "
    b"SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)
_PLAN_ANEW = (
    b"SET LOCAL plan_cache_mode TO DEFAULT; SET LOCAL enable_seqscan TO DEFAULT; "
    b"SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT"
)


def begin_with_kept_plans(connection: sa.Connection) -> None:
    """Begin a transaction whose statements all look up rows by a key.

    A connection plans everything anew (``database``), which costs more than a small batch; and
    so it plans the look-up of each foreign key of each row. Where an index leads from each table
    to the next whatever the statistics say, a plan may be kept: the one that uses them.

    Raises:
        DBAPIError: as ``run``.
    """
    _simple(connection, _BEGIN_WITH_KEPT_PLANS)


def plan_anew(connection: sa.Connection) -> None:
    """From here on, plan what is asked by what the statistics say; raises as ``run``."""
    _simple(connection, _PLAN_ANEW)


def _simple(connection: sa.Connection, statements: bytes) -> None:
    raw = _raw(connection)
    try:
        _checked(raw.exec_(statements))
    except psycopg.Error as error:
        raise _failed(connection, statements.decode(), error) from None


def _raw(connection: sa.Connection) -> PGconn:
    raw: PGconn = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
    return raw


def _failed(connection: sa.Connection, statement: str, error: psycopg.Error) -> Exception:
    """The error as the library would raise it; a connection that is lost is not used again."""
    if _raw(connection).status != ConnStatus.OK:
        connection.invalidate(error)
        # where the server said nothing any more, libpq gives no code that would tell
        error = psycopg.OperationalError("the connection is lost")
    return sa.exc.DBAPIError.instance(
        statement, None, error, psycopg.Error, hide_parameters=True, dialect=connection.dialect
    )


def _checked(result: PGresult) -> PGresult:
    if result.status in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
        return result
    raise psycopg.errors.error_from_result(result)
