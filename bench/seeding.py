"""Fill a ledger: what one recorded message left behind, very many times over.

Nothing here knows the tables. Two messages are recorded by the gateway itself; what differs
between their rows belongs to a message, what is equal belongs to all. Every copy gets numbers
and identifiers of its own, so that indexes grow as they would. Bodies are copied as they are:
their bytes say nothing to an index.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from string import hexdigits
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Json

PORTION = 20_000
SHORT = 64
"""Bytes; longer ones are bodies."""
UUID_LENGTH, UUID_DASHES = 36, 4
SETTLES_WITHIN = 30.0
Row = dict[str, Any]
Snapshot = dict[str, list[Row]]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        type: As the database writes it.
        refers_to: Table whose key this column holds.
        unique: Part of the primary key or of a unique index.
    """

    name: str
    refers_to: str | None
    unique: bool
    type: str
    generated: bool


def columns(connection: psycopg.Connection[Any]) -> dict[str, list[Column]]:
    """Every table with its columns, as the database tells."""
    rows = connection.execute(
        """
        SELECT c.relname, a.attname,
               (SELECT f.relname FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
                 WHERE k.contype = 'f' AND k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum]
                 LIMIT 1),
               EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
                         AND a.attnum = ANY (i.indkey)),
               format_type(a.atttypid, a.atttypmod),
               a.attgenerated <> ''
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
           AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY c.relname, a.attnum
        """
    ).fetchall()
    found: dict[str, list[Column]] = {}
    for table, *rest in rows:
        found.setdefault(table, []).append(Column(*rest))
    return {
        table: [
            # some columns hold the key of another table without a constraint that says so
            replace(each, refers_to=each.name)
            if each.refers_to is None and each.name in found and each.name != table
            else each
            for each in them
        ]
        for table, them in found.items()
    }


def snapshot(connection: psycopg.Connection[Any], tables: dict[str, list[Column]]) -> Snapshot:
    """Every row of every table, in the order of the first column."""
    found = {}
    for table in tables:
        cursor = connection.execute(
            sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier(table))
        )
        names = [each.name for each in cursor.description or ()]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def settled(connection: psycopg.Connection[Any], tables: dict[str, list[Column]]) -> Snapshot:
    """The rows once nothing has moved for a second.

    Raises:
        SystemExit: something keeps moving.
    """
    deadline = time.monotonic() + SETTLES_WITHIN
    before = snapshot(connection, tables)
    while time.monotonic() < deadline:
        time.sleep(1)
        now = snapshot(connection, tables)
        if now == before:
            return now
        before = now
    raise SystemExit("the ledger does not come to rest")


@dataclass(frozen=True)
class Template:
    """What one message leaves behind.

    Attributes:
        rows: Per table the rows of the first message; the second's beside them.
        moved: Per table and column what a message adds to a number in an existing row.
    """

    tables: dict[str, list[Column]]
    rows: dict[str, tuple[list[Row], list[Row]]]
    moved: dict[tuple[str, str], int]


def template(connection: psycopg.Connection[Any], record_one: Callable[[], None]) -> Template:
    """Record two messages and see what each adds."""
    tables = columns(connection)
    record_one()  # the first message of a process may open what others share
    shots = [settled(connection, tables)]
    for _ in range(2):
        record_one()
        shots.append(settled(connection, tables))
    rows: dict[str, tuple[list[Row], list[Row]]] = {}
    moved: dict[tuple[str, str], int] = {}
    for table in tables:
        before, middle, after = (shot[table] for shot in shots)
        first = [row for row in middle if row not in before][: len(middle) - len(before)]
        second = [row for row in after if row not in middle][: len(after) - len(middle)]
        if first and len(first) == len(second):
            rows[table] = (first, second)
        elif len(before) == len(middle) == len(after):
            moved |= _moved(table, middle, after)
    return Template(tables, rows, moved)


def _moved(table: str, before: list[Row], after: list[Row]) -> dict[tuple[str, str], int]:
    found = {}
    for one, other in zip(before, after, strict=True):
        for name, value in one.items():
            if type(value) is int and other[name] > value:
                found[table, name] = other[name] - value
    return found


def seed(
    connection: psycopg.Connection[Any],
    pattern: Template,
    count: int,
    already: int,
    advance: Callable[[int], None],
) -> None:
    """Add what so many messages would have added; counters and sequences follow.

    Args:
        already: How many were added before, so that these differ from them.
    """
    connection.execute("SET session_replication_role = replica")  # order of tables is no matter
    connection.execute("SET synchronous_commit = off")
    starts = {
        table: {
            name: most - already * len(first)
            for name, most in _most(connection, pattern, table).items()
        }
        for table, (first, _) in pattern.rows.items()
    }
    for begun in range(already, already + count, PORTION):
        portion = min(PORTION, already + count - begun)
        with connection.transaction():
            for table, (first, second) in pattern.rows.items():
                for place, pair in enumerate(zip(first, second, strict=True)):
                    statement, values = _copies(pattern, table, place, pair, starts)
                    connection.execute(statement, [*values, begun + 1, begun + portion])
        advance(portion)
    for (table, column), step in pattern.moved.items():
        connection.execute(
            sql.SQL("UPDATE {} SET {} = {} + %s").format(
                sql.Identifier(table), sql.Identifier(column), sql.Identifier(column)
            ),
            [step * count],
        )
    for table in pattern.rows:
        _follow(connection, pattern, table)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")


def _number_columns(pattern: Template, table: str) -> list[str]:
    """Columns of whole numbers that no two rows share: keys and positions."""
    first = pattern.rows[table][0][0]
    return [
        each.name
        for each in pattern.tables[table]
        if each.unique and each.refers_to is None and type(first[each.name]) is int
    ]


def _most(connection: psycopg.Connection[Any], pattern: Template, table: str) -> dict[str, int]:
    found = {}
    for name in _number_columns(pattern, table):
        row = connection.execute(
            sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(name), sql.Identifier(table))
        ).fetchone()
        found[name] = row[0] if row else 0
    return found


def _copies(
    pattern: Template,
    table: str,
    place: int,
    pair: tuple[Row, Row],
    starts: dict[str, dict[str, int]],
) -> tuple[sql.Composed, list[Any]]:
    """INSERT … SELECT of this row for every number n."""
    names, parts = [], []
    values: list[Any] = []
    for column in pattern.tables[table]:
        if column.generated:
            continue
        one, other = pair[0][column.name], pair[1][column.name]
        if one == other or one is None:
            part, more = "%s", [_plain(one)]
        elif type(one) is int and column.refers_to in pattern.rows:
            part, more = _reference(pattern, column.refers_to, one, starts)
        elif type(one) is int and column.name in starts[table]:
            step = len(pattern.rows[table][0])
            part, more = _NUMBERED, [starts[table][column.name], step, place + 1]
        else:
            part, more = _varied(one, unique=column.unique)
        names.append(sql.Identifier(column.name))
        parts.append(sql.SQL("CAST({} AS {})").format(sql.SQL(part), sql.SQL(column.type)))
        values += more
    statement = sql.SQL(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {}"
        " FROM generate_series(%s::int, %s::int) AS n"
    ).format(sql.Identifier(table), sql.SQL(", ").join(names), sql.SQL(", ").join(parts))
    return statement, values


_NUMBERED = "%s::bigint + (n - 1) * %s::bigint + %s::bigint"


def _plain(value: Any) -> Any:
    return Json(value) if isinstance(value, dict | list) else value


def _reference(
    pattern: Template, table: str, key: int, starts: dict[str, dict[str, int]]
) -> tuple[LiteralString, list[Any]]:
    """The number that the copy of the row with this key has."""
    first = pattern.rows[table][0]
    name = next(iter(starts[table]))
    place = next((at for at, row in enumerate(first) if row[name] == key), 0)
    return _NUMBERED, [starts[table][name], len(first), place + 1]


def _varied(value: Any, *, unique: bool) -> tuple[LiteralString, list[Any]]:
    """Another value of the same form for every n; the same one wherever this one stands."""
    if isinstance(value, datetime):
        return "%s::timestamptz - n * interval '1 ms'", [value]
    if isinstance(value, bytes) and len(value) <= SHORT:
        return "substring(sha512(%b::bytea || int8send(n::bigint)), 1, %s::int)", [
            value,
            len(value),
        ]
    if isinstance(value, str):
        if len(value) == UUID_LENGTH and value.count("-") == UUID_DASHES:
            return "md5(%s::text || n)::uuid::text", [value]
        if len(value) == SHORT and set(value) <= set(hexdigits):
            return "encode(sha256(convert_to(%s::text || n, 'UTF8')), 'hex')", [value]
        if unique:
            return "%s::text || n", [value]
    return "%s", [_plain(value)]


def _follow(connection: psycopg.Connection[Any], pattern: Template, table: str) -> None:
    """Sequences go on after what was added."""
    for name, most in _most(connection, pattern, table).items():
        connection.execute(
            "SELECT setval(found, %s) FROM pg_get_serial_sequence(%s, %s) AS found"
            " WHERE found IS NOT NULL",
            [most, table, name],
        )
