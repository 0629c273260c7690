"""Which rows of a Dataset a person asked to see: a page of them, one by its number, or one by its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from studio.core.errors import UserError, nearest
from studio.core.telling import Hint
from studio.data.kinds import Wanted

R = TypeVar("R")


def choose(rows: Sequence[R], wanted: Wanted, *, page: int, id_of: Callable[[R], str]) -> tuple[Sequence[R], int]:
    """The rows asked for, and the number of the first one, counted from 1.

    Args:
        page: rows on a page.
    Raises:
        UserError: there is no such row, id or page.
    """
    if wanted.identity is not None:
        ids = [id_of(item) for item in rows]
        if wanted.identity not in ids:
            like = f" Ids look like {ids[0]!r}." if ids else ""
            raise UserError(f"there is no row {wanted.identity!r} here.{nearest(wanted.identity, ids)}{like}")
        position = ids.index(wanted.identity)
        return rows[position : position + 1], position + 1
    if wanted.row is not None:
        if not 1 <= wanted.row <= len(rows):
            raise UserError(f"there is no row {wanted.row}: rows go from 1 to {len(rows)}.")
        return rows[wanted.row - 1 : wanted.row], wanted.row
    start = (wanted.page - 1) * page
    if start and start >= len(rows):
        raise UserError(f"there is no page {wanted.page}: the last one is {max(0, len(rows) - 1) // page + 1}.")
    return rows[start : start + page], start + 1


def next_page(wanted: Wanted, first: int, shown: int, total: int) -> tuple[Hint, ...]:
    """Where the rows after those shown are, when a page was asked for and it is not the last one."""
    last = first + shown - 1
    if wanted.row is not None or wanted.identity is not None or last >= total:
        return ()
    return (Hint(f"rows {first} to {last} of {total:,}; next: --page {wanted.page + 1}"),)
