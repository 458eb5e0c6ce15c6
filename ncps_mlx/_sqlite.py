"""SQLite for several processes at once: every transaction can take the write lock when it begins.

Optuna reads a trial's state and then writes it in one transaction, and locks the row for that where the database can.
SQLite cannot lock rows: two workers could both read "waiting" and both write "running". With ``BEGIN IMMEDIATE`` the
second one waits until the first has written. (The way is that of SQLAlchemy's page on its SQLite dialect.)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

__all__ = ["DRIVER", "ImmediateSQLite"]

DRIVER = "sqlite+ncps_mlx"


class ImmediateSQLite(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect for the sqlite3 module, with transactions that begin with the write lock.

    Attributes:
        immediate: Whether they do. Not while Optuna opens a file: it then uses two connections at once.

    Example:
        >>> import sqlalchemy
        >>> engine = sqlalchemy.create_engine(f"{DRIVER}://", connect_args={"isolation_level": None})
        >>> engine.dialect.immediate = True
        >>> with engine.begin() as connection:
        ...     connection.connection.in_transaction
        True
    """

    supports_statement_cache = True
    immediate = False

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin a transaction; one that may write waits while another one does."""
        dbapi_connection.execute("BEGIN IMMEDIATE" if self.immediate else "BEGIN")


registry.register("sqlite.ncps_mlx", __name__, "ImmediateSQLite")
