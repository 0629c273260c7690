"""A value written so that the program that reads the file gets that value back, whatever stands in it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

_LONGEST_LABEL = 40
# YAML 1.1, 5.1 "printable" without the line ends of 5.4 that JSON leaves as they are.
_UNREAD = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def slug_of(name: str) -> str:
    """A name as a DNS label (RFC 1123): lower-case letters, digits and dashes, at most 40, so that suffixes still fit in 63.

    A name that leaves nothing of these becomes ``model``; one that begins with a digit is led by ``m-``, for names of Services.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_LABEL].strip("-")
    if not label:
        return "model"
    return label if label[0].isalpha() else f"m-{label}"[:_LONGEST_LABEL].strip("-")


def yaml_scalar(value: Any) -> str:
    """A YAML flow value. JSON is YAML, so ``yes``, ``1.5``, ``a: b`` and ``#`` stay the texts that they are; characters that a
    YAML reader refuses or takes for the end of a line are escaped.
    """
    return _UNREAD.sub(lambda match: f"\\U{ord(match[0]):08x}", json.dumps(value, ensure_ascii=False))


def compose_scalar(value: Any) -> str:
    """The same for a Compose file, which takes ``$`` for a variable."""
    return yaml_scalar(value).replace("$", "$$")


def yaml_block(text: str, indent: int) -> str:
    """A text as people read it in YAML, line for line; as one line where that form would change it.

    Args:
        indent: blanks before each line.
    """
    lines = text.removesuffix("\n").split("\n")
    block = "\n".join(["|", *(f"{' ' * indent}{line}" if line else "" for line in lines)])
    try:
        same = yaml.safe_load(f"text: {block}\n") == {"text": text}
    except yaml.YAMLError:
        same = False
    return block if same else yaml_scalar(text)


def unit_word(value: str) -> str:
    """One word of a systemd command line: quoted, ``%`` and ``$`` without their meaning (systemd.service(5))."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


def unit_path(value: str) -> str:
    """A path in a systemd setting that takes a list of them."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def kotlin_text(value: str) -> str:
    """A Kotlin string literal."""
    return json.dumps(value).replace("$", "\\$")


def render(template: str, values: Mapping[str, Any]) -> str:
    """A template of ``studio/deploy/templates`` with its values; a value that is missing is an error of ours."""
    environment = Environment(
        loader=PackageLoader("studio.deploy"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "yaml": yaml_scalar,
        "block": yaml_block,
        "compose": compose_scalar,
        "sh": lambda value: shlex.quote(str(value)),
        "unit": unit_word,
        "unit_path": unit_path,
        "kotlin": kotlin_text,
        "python": repr,
    }
    return environment.get_template(template).render(**values)
