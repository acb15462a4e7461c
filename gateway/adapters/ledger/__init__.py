"""The ledger on SQL: SQLite as the embedded default, PostgreSQL for many machines."""
