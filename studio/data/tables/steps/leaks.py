"""What a model could cheat with: columns that give the target away, values from the future, entities in several splits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.tables.single_column import label_scores, number_scores
from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.steps.duplicates import same_values
from studio.data.tables.table import DataTable, TableColumn
from studio.data.tables.told_in_text import LEAST_GAP, told_in_text

# A column of names has many values, each of several rows at most on average.
_LEAST_NAMES, _MOST_ROWS_OF_NAME = 30, 20
# Numbers are taken for names only where the column is called so.
_NAMED = re.compile(
    r"(^|[^a-z])(id|nr|no|number|num|code|key|uuid|customer|client|user|patient|person|subject|member|account|machine|device|e?mail)s?"
    r"([^a-z]|$)",
    re.I,
)


@dataclass
class _Found:
    """What was found: notes, and for the report the scores, and columns by what they give away."""

    notes: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    texts: dict[str, float] = field(default_factory=dict)
    leaking: list[str] = field(default_factory=list)
    future: dict[str, int] = field(default_factory=dict)
    shared: dict[str, float] = field(default_factory=dict)
    equal_rows: int = 0


class Leaks(TableStep):
    """See :class:`studio.schema.table_steps.LeaksStep`."""

    def __init__(self, auc: float, r2: float, action: str, known: list[str], shared: float) -> None:
        self._auc, self._r2, self._action, self._known, self._shared = auc, r2, action, known, shared

    def run(self, table: DataTable) -> Outcome:
        """Measure every column, and do what the recipe says of those that tell too much.

        Raises:
            DataError: there are some, and the recipe refuses them.
        """
        for name in self._known:
            table.check_name(name, "leaks.known")
        found = _Found()
        measure, bound = self._score(table, found)
        self._texts(table, found)
        self._future(table, found)
        self._entities(table, found)
        _equal_rows(table, found)
        tells = list(dict.fromkeys([*found.leaking, *found.texts, *found.future]))
        if tells and self._action == "refuse":
            raise DataError(
                f"leaks: {'; '.join(found.notes[:3])}. Take them out (ignore), or name them under known if they are fair."
            )
        columns = dict(table.columns)
        if self._action == "ignore":
            for name in tells:
                columns[name] = replace(columns[name], feature=False, role="ignored")
                found.notes.append(f"{name} is kept and not predicted from (action: ignore)")
        facts = {"measure": measure, "bound": bound, **{key: value for key, value in vars(found).items() if key != "notes"}}
        return Outcome(replace(table, columns=columns), notes=found.notes, facts=facts)

    def _looked_at(self, table: DataTable) -> list[TableColumn]:
        """Columns that are predicted from, hold no free text and are not known to be fine."""
        return [
            column
            for column in table.columns.values()
            if column.feature and column.type != "text" and column.name not in self._known and column.role != "target"
        ]

    def _score(self, table: DataTable, found: _Found) -> tuple[str, float]:
        """What each column alone says of the target, on training rows; the measure and its bound."""
        target, group = table.of_role("target"), table.of_role("group")
        if target is None:
            return "", 1.0
        train = table.frame.iloc[table.train]
        columns = {column.name: train[column.name] for column in self._looked_at(table)}
        groups = None if group is None else train[group.name].to_numpy(object)
        if target.type == "category":
            measure, bound, fact = "AUC", self._auc, "the label"
            found.scores = label_scores(columns, train[target.name].to_numpy(object), groups)
        else:
            measure, bound, fact = "R2", self._r2, "the number"
            found.scores = number_scores(columns, train[target.name].to_numpy(np.float64), groups)
        found.leaking = [name for name, score in found.scores.items() if score > bound]
        found.notes += [
            f"{name} alone gives {fact} {target.name} away ({measure} {found.scores[name]:.3f}, bound {bound:g}); is it "
            f"known before {target.name} is? If so, say leaks.known: [{name}], if not, put it under ignore"
            for name in found.leaking
        ]
        return measure, bound

    def _texts(self, table: DataTable, found: _Found) -> None:
        """Texts that say the target outright, among training rows."""
        target = table.of_role("target")
        train = table.frame.iloc[table.train]
        texts = [column.name for column in table.columns.values() if column.feature and column.type == "text"]
        for name in texts if target is not None else ():
            if name in self._known or target is None:
                continue
            rows = train[[name, target.name]].dropna()
            values = [f"{value:g}" if target.type == "number" else str(value) for value in rows[target.name]]
            own, other = told_in_text(rows[name].tolist(), values) if len(rows) else (0.0, 0.0)
            if own - other >= LEAST_GAP:
                found.texts[name] = own
                found.notes.append(
                    f"{name} says {target.name} outright in {own:.0%} of training rows (that of another row in {other:.0%}); "
                    f"take it out of the texts, or say leaks.known: [{name}]"
                )

    def _future(self, table: DataTable, found: _Found) -> None:
        """Times later than the moment at which the target would be predicted."""
        now = table.of_role("time")
        for column in self._looked_at(table) if now is not None else ():
            if column.type != "time" or now is None or column.name == now.name:
                continue
            later = (table.frame[column.name] > table.frame[now.name]).to_numpy()
            if later.any():
                example = table.frame[column.name].iloc[int(later.argmax())]
                found.future[column.name] = int(later.sum())
                found.notes.append(
                    f"{column.name} is later than {now.name} in {counted(int(later.sum()))} (such as {example:%Y-%m-%d}): "
                    "what is not known yet cannot be predicted from"
                )

    def _entities(self, table: DataTable, found: _Found) -> None:
        """Columns of names whose values stand in train and test."""
        train, test = table.frame.iloc[table.train], table.frame[table.split == "test"]
        for column in table.columns.values() if len(test) else ():
            if column.role in {"target", "id", "group", "protected"} or column.made_by or column.type in {"text", "time"}:
                continue
            values = table.frame[column.name].dropna()
            distinct = values.nunique()
            several = 1.05 <= len(values) / max(distinct, 1) <= _MOST_ROWS_OF_NAME and distinct >= _LEAST_NAMES
            if not several or (column.type == "number" and not (_NAMED.search(column.name) and (values % 1 == 0).all())):
                continue
            share = float(test[column.name].isin(train[column.name].dropna()).mean())
            if share >= self._shared:
                found.shared[column.name] = share
                found.notes.append(
                    f"{column.name} has {distinct:,} values, and {share:.0%} of test rows have one that training rows have "
                    f"too; if it names who or what a row is about, say group: {column.name}"
                )


def _equal_rows(table: DataTable, found: _Found) -> None:
    """Test rows that equal a training row in all that is predicted from."""
    names = [column.name for column in table.columns.values() if column.feature and not column.made_by]
    doubled = np.flatnonzero(table.frame[names].duplicated(keep=False).to_numpy()) if names else np.zeros(0, dtype=int)
    if not len(doubled) or table.split is None:
        return
    keys, split = same_values(table, names, doubled), table.split[doubled]
    found.equal_rows = int(np.isin(keys[split == "test"], keys[split == "train"]).sum())
    if found.equal_rows:
        found.notes.append(
            f"a training row has the same values, in all that is predicted from, as {counted(found.equal_rows, 'test row')}; if "
            "both are about the same case, name what ties them (group)"
        )


def leak_facts(table: DataTable) -> Any:
    """What the step found, None where it did not run."""
    return next(iter(table.facts.get("leaks", [])), None)
