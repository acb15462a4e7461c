"""How is an instant stored, so that both databases agree about it?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_MICROSECOND = timedelta(microseconds=1)


def as_number(value: datetime | None) -> int | None:
    """Whole microseconds since 1970 in UTC."""
    return None if value is None else (value - _EPOCH) // _MICROSECOND


def as_instant(value: int) -> datetime:
    """The instant of this number, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware instant, stored as whole microseconds since 1970 in UTC.

    SQLite has no type for instants, and its text form sorts wrongly as soon as one value
    has a fraction and another has none. A 64-bit integer compares, sorts and indexes the
    same in both databases, and gives back exactly what was put in.
    """

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return as_number(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else as_instant(value)
