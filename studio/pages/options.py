"""Values of options that a page asks for, refused in the words of the command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from studio.core.errors import UserError

_COUNT: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=1)])


def count_of(text: str, option: str, command: str) -> int:
    """A number from 1 on.

    Args:
        option: how a terminal calls it. command: the one that takes it.
    Raises:
        UserError: it is none.
    """
    try:
        return _COUNT.validate_python(text.strip())
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UserError(f"invalid value for '{option}': {said}. See: studio {command} --help") from None
