"""SQLite for several processes at once: every transaction takes the write lock when it begins.

Optuna reads a trial's state and then writes it in one transaction, and locks the row for that where the database can.
SQLite cannot lock rows: two workers could both read "waiting" and both write "running". With ``BEGIN IMMEDIATE`` the
second one waits until the first has written. (The way is that of SQLAlchemy's page on its SQLite dialect.)

While Optuna opens a file it uses two connections at once. One that held a read lock in a transaction, while the other
one waits for its own behind a writer, who waits for the first, would stop all three: statements then stand alone.
"""

from __future__ import annotations

import sqlite3
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Connection", "begin_immediately"]


class Connection(sqlite3.Connection):
    """A connection that closes its cursors with each transaction, and with itself.

    SQLite keeps its locks while a statement is at work, even of a closed connection. After Ctrl-C the exception holds
    the cursor that was interrupted, and the file would stay locked until Python collects both.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *arguments: Any) -> Any:
        """Return a new cursor."""
        cursor = super().cursor(*arguments)
        self._cursors.add(cursor)
        return cursor

    def execute(self, *arguments: Any) -> Any:
        """Execute a statement by a cursor of its own."""
        return self.cursor().execute(*arguments)

    def rollback(self) -> None:
        """Close all cursors, and undo what was not committed."""
        self._close_cursors()
        super().rollback()

    def close(self) -> None:
        """Close all cursors and the connection; what was not committed is undone."""
        self._close_cursors()
        super().close()

    def _close_cursors(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()


def begin_immediately(engine: Engine) -> None:
    """Let the transactions of an engine, whose connections begin none by themselves, begin with the write lock."""
    from sqlalchemy import event

    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
