"""YAML, every value as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.document import rows_of
from studio.data.readers.encoding import open_text


def read_yaml(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A YAML document; every value is read as text, so that the answer ``No`` does not become false."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    with open_text(path, options) as stream:
        try:
            value = yaml.load(stream, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            yield Damage(f"line {mark.line + 1 if mark else 1}", f"is not valid YAML: {getattr(error, 'problem', error)}")
            return
    yield from rows_of(value, options)
