"""A SELECT that is asked for every batch: compiled once, and on PostgreSQL prepared once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gateway.adapters.ledger import prepared
from gateway.adapters.ledger.prepared import ELEMENTS, Shape


class Question:
    """Asked about a list of values.

    Args:
        select: With one list of values in it (``among.these``).
        kind: What the values are, in SQL: TEXT or BIGINT.
    """

    def __init__(self, select: sa.Select[Any], kind: str) -> None:
        self._select = select
        self._kind = ELEMENTS[kind]

    def ask(self, connection: sa.Connection, values: Iterable[Any]) -> Sequence[Any]:
        """Rows, with the columns as attributes."""
        listed = list(values)
        if connection.dialect.name != "postgresql":
            return connection.execute(self._select, {"these": listed}).all()
        values_ = [prepared.array(self._kind, listed)]
        return self._shape.rows(prepared.run(connection, self._text, values_))

    @cached_property
    def _text(self) -> str:
        dialect: sa.Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        return str(self._select.compile(dialect=dialect))

    @cached_property
    def _shape(self) -> Shape:
        return Shape(tuple(self._select.selected_columns))
