"""What the database says when it fails, in words of ours."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import NoRoom

_FULL = ("database or disk is full", "no space left")


class StoreFailed(Exception):
    """The store cannot be used; the message says why in a few words."""


def translate(error: SQLAlchemyError) -> Exception:
    """Return our error for one of the database: a full disk passes, others do not."""
    text = reason(error)
    if any(words in text.lower() for words in _FULL):
        refused = NoRoom(
            "the server's disk is full: try again later, or tell whoever runs it"
        )
        refused.__cause__ = error
        return refused
    return store_failed(error)


def store_failed(error: SQLAlchemyError) -> StoreFailed:
    """Return the error for one after which the store cannot be used."""
    failed = StoreFailed(reason(error))
    failed.__cause__ = error
    return failed


def reason(error: SQLAlchemyError) -> str:
    """Return the database's own words, without the statement and its values."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return (
        str(original).strip().splitlines()[0]
        if str(original).strip()
        else repr(original)
    )
