"""What a step changed in a row, small enough to be kept with the step's result and shown side by side."""

from __future__ import annotations

from typing import Any

from studio.data.chat.rows import ChatRow
from studio.data.chat.sampling import Reservoir
from studio.data.chat.turns import as_json, shown_turn

# Characters of a changed turn that are kept around the place where it differs; what is shown is less.
_KEPT = 2000
_EXAMPLES = 3


class Changes:
    """A few of the rows that one step changed."""

    def __init__(self, step: str) -> None:
        self._drawn: Reservoir[tuple[ChatRow, ChatRow]] = Reservoir(_EXAMPLES, step)

    def note(self, before: ChatRow, after: ChatRow) -> None:
        """A row that was changed."""
        self._drawn.offer(lambda: (before, after))

    def told(self) -> list[dict[str, str]]:
        """As plain JSON: id, role, before, after. An empty text is a turn that is not there."""
        return [change_between(before, after) for before, after in self._drawn.drawn()]


def change_between(before: ChatRow, after: ChatRow) -> dict[str, str]:
    """The first turn that differs, else what differs in the columns beside the turns."""
    old, new = [shown_turn(turn) for turn in before.turns], [shown_turn(turn) for turn in after.turns]
    for index in range(max(len(old), len(new))):
        one = old[index] if index < len(old) else {"role": "", "content": ""}
        other = new[index] if index < len(new) else {"role": "", "content": ""}
        if one != other:
            first, second = _around(one["content"], other["content"])
            return {"id": after.id, "role": other["role"] or one["role"], "before": first, "after": second}
    keys = [key for key in {**before.meta, **after.meta} if before.meta.get(key) != after.meta.get(key)]
    return {
        "id": after.id,
        "role": "meta",
        "before": _columns({key: before.meta[key] for key in keys if key in before.meta}),
        "after": _columns({key: after.meta[key] for key in keys if key in after.meta}),
    }


def _columns(values: dict[str, Any]) -> str:
    """Columns as lines."""
    return "\n".join(f"{name}: {as_json(value)}" for name, value in values.items())[:_KEPT]


def _around(before: str, after: str) -> tuple[str, str]:
    """Two texts, long ones cut to what lies around the first place where they differ."""
    if max(len(before), len(after)) <= 2 * _KEPT:
        return before, after
    start = max(0, first_difference(before, after) - _KEPT)
    return before[start : start + 2 * _KEPT], after[start : start + 2 * _KEPT]


def first_difference(one: str, other: str) -> int:
    """Place of the first sign that differs; the length of the shorter text where it is how the other begins."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
