"""Rows whose text is nearly that of an earlier one."""

from __future__ import annotations

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.similarity import NearPairs, Shingling
from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.table import DataTable
from studio.data.verdicts import Drop


class NearTexts(TableStep):
    """See :class:`studio.schema.table_steps.NearTextsStep`.

    Each row that goes was itself compared with the row that it names and that stays: similarity is never passed on from row
    to row.
    """

    learns = False

    def __init__(self, columns: list[str], threshold: float, unit: str, size: int) -> None:
        self._columns, self._threshold, self._shingling = columns, threshold, Shingling(unit, size)

    def run(self, table: DataTable) -> Outcome:
        """Drop all but the first of rows with nearly the same text.

        Raises:
            DataError: there is no column of texts.
        """
        columns = [column.name for column in table.chosen(self._columns, "near_duplicates", types=("text", "category"))]
        texts_of = [name for name in columns if self._columns or table.columns[name].type == "text"]
        if not texts_of:
            raise DataError(
                "the step near_duplicates compares texts, and the table has no column of type text. Leave the step out, or "
                "say which column holds text (columns: [{name: NAME, type: text}])."
            )
        texts = table.frame[texts_of].fillna("").agg("\n".join, axis=1).tolist()
        drops = self._drops(table, texts)
        return Outcome(table, drops, notes=_other_targets(table, drops))

    def _drops(self, table: DataTable, texts: list[str]) -> dict[int, Drop]:
        """Rows that go, with the row each resembles and how much."""
        pairs = NearPairs(texts, self._threshold, self._shingling)
        leaders: dict[int, tuple[int, float]] = {}
        for place, candidates in pairs.earlier():
            scored = [(pairs.similarity(place, other), -other) for other in candidates if other not in leaders]
            best, negative = max(scored, default=(0.0, 0))
            if best >= self._threshold:
                leaders[place] = (-negative, best)
                pairs.gone[place] = True
        drops: dict[int, Drop] = {}
        for place, first in enumerate(pairs.same):
            if not texts[place].strip() or (first == place and place not in leaders):
                continue
            leader, similarity = leaders.get(first, (first, 1.0))
            drops[place] = Drop(
                "its text is nearly that of an earlier row", f"{similarity:.3f}", f"{self._threshold:g}", str(table.ids[leader])
            )
        return drops


def _other_targets(table: DataTable, drops: dict[int, Drop]) -> list[str]:
    """A note on alike texts with different targets: one of the two is wrong, or the text does not decide."""
    target = table.of_role("target")
    if target is None:
        return []
    values = dict(zip(table.ids.tolist(), table.frame[target.name].tolist(), strict=True))
    other = sum(values[str(drop.matched)] != table.frame[target.name].iloc[place] for place, drop in drops.items())
    return [f"{counted(other)} had another {target.name} than the row whose text is nearly the same"] if other else []
