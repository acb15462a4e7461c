"""Is a value among these? As one bound value, so that the statement is the same for any number.

An IN list has another text for every length: it is compiled, parsed and planned each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Values(sa.types.TypeDecorator[list[Any]]):
    """A list of numbers or texts: an array for PostgreSQL, JSON text for SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            # untyped, since the statement casts it: the driver adapts a list by itself
            return dialect.type_descriptor(sa.types.NullType())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: list[Any] | None, dialect: sa.Dialect) -> Any:
        return value if dialect.name == "postgresql" else json.dumps(value)


class _Among(FunctionElement[bool]):
    """``column = ANY(values)``."""

    type = sa.Boolean()
    _is_implicitly_boolean = True  # else SQLite gets "= 1" behind it, and no index serves
    inherit_cache = True
    name = "among"


def among(column: sa.Column[Any], values: Iterable[Any]) -> sa.ColumnElement[bool]:
    """Whether the column holds one of these numbers or texts; false when there are none."""
    return _Among(column, sa.bindparam(None, list(values), type_=_Values(), unique=True))


def these(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """The same for a statement that is made once: the values come with the name ``these``."""
    return _Among(column, sa.bindparam("these", type_=_Values()))


@compiles(_Among, "postgresql")
def _as_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    said = compiler.process(values, **options)
    kind = "BIGINT" if isinstance(column.type, sa.Integer) else "TEXT"
    return f"{compiler.process(column, **options)} = ANY({said}::{kind}[])"


@compiles(_Among, "sqlite")
def _as_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    said = compiler.process(values, **options)
    within = f"IN (SELECT value FROM json_each({said}))"  # noqa: S608 - a bound value
    return f"{compiler.process(column, **options)} {within}"
