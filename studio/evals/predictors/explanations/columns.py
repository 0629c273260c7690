"""Rows of tables: what each column contributes, exactly where the model is a sum over columns, else as Shapley values.

Legend: d columns, b background rows, s rows that are asked about.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.evals.example_rows import value_text
from studio.evals.predictors.explanations.parts import Explanation, Part, ranked
from studio.evals.predictors.explanations.shapley import Game, exact_shapley, sampled_shapley
from studio.evals.predictors.explanations.values import LOG_ODDS, Values

# Background rows that stand in for a deleted column.
_STAND_INS = 20
_FEWEST_ORDERS, _MOST_ORDERS = 10, 200

_SAYS = (
    "It says what the model goes by, not what causes what: a column that only goes along with the cause counts the same, and "
    "columns that go together share what they say in a way that nobody can check."
)


class ColumnExplainer:
    """Contributions of the columns of a row against rows of the background."""

    nouns = ("column", "columns")
    reads = "table"
    most = 200

    def __init__(self, values: Values, background: pd.DataFrame, *, seed: int, budget: int) -> None:
        """``budget``: rows that the model is asked about for one explanation, about."""
        self._values, self._background, self._seed, self._budget = values, background.reset_index(drop=True), seed, budget
        self._columns = values.predictor.info.columns
        self.labels = list(values.predictor.info.labels)
        self._usual: dict[str | None, tuple[np.ndarray, float]] = {}

    def places(self, row: pd.DataFrame) -> list[int]:  # noqa: ARG002 - every row has all columns
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        return list(range(len(self._columns)))

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else self._values.given(row)
        value = float(self._values(row, label)[0])
        contributions, errors, base, how = self._contributions(row, label)
        parts = [
            Part(
                column.name,
                value_text(row[column.name].iloc[0], column),
                float(contributions[place]),
                None if errors is None else float(errors[place]),
                place,
            )
            for place, column in enumerate(self._columns)
        ]
        info = self._values.predictor.info
        return Explanation(
            kind="linear" if self._values.additive else "shapley",
            of=label if label is not None else info.target,
            unit=self._values.unit,
            value=value,
            base=base,
            parts=ranked(parts),
            rest=value - base - float(contributions.sum()),
            how=how,
            says=f"{how} {_SAYS}",
        )

    def without(self, row: pd.DataFrame, label: str | None, deleted: Sequence[Sequence[int]]) -> np.ndarray:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`: deleted columns are those of background rows, and
        the mean is taken.
        """
        label = label if label is not None else self._values.given(row)
        count = min(_STAND_INS, len(self._background))
        chosen = np.random.default_rng(self._seed).permutation(len(self._background))[:count]
        known = np.ones((len(deleted), len(self._columns)), dtype=bool)
        for place, columns in enumerate(deleted):
            known[place, list(columns)] = False
        values = self._game(row, label)(np.repeat(known, count, axis=0), np.tile(chosen, len(deleted)))
        means: np.ndarray = values.reshape(len(deleted), count).mean(axis=1)
        return means

    def _contributions(self, row: pd.DataFrame, label: str | None) -> tuple[np.ndarray, np.ndarray | None, float, str]:
        """Contributions [d], their standard errors, the base, and how they were made."""
        count, many = len(self._columns), len(self._background)
        if self._values.additive:
            found, base = self._added_up(row, label)
            what = "the logarithm of the odds" if self._values.unit == LOG_ODDS else "the prediction"
            return found, None, base, (
                f"Exact: the model adds up columns, and each number is by how much {what} would differ with this column as in "
                "the training rows on average."
            )  # fmt: skip
        game = self._game(row, label)
        if 2**count * many <= self._budget:
            found, base = exact_shapley(game, count, many)
            return found, None, base, (
                f"Shapley values, exact over {many} rows of training: what each column adds on average over all orders in which "
                "columns become known."
            )  # fmt: skip
        orders = int(np.clip(self._budget // (count + 1), _FEWEST_ORDERS, _MOST_ORDERS)) // 2 * 2
        found, errors, base = sampled_shapley(game, count, many, orders, self._seed)
        return found, errors, base, (
            f"Shapley values from {orders} orders in which columns become known, good to about {2 * errors.max():.2g} "
            f"({self._values.unit})."
        )  # fmt: skip

    def _added_up(self, row: pd.DataFrame, label: str | None) -> tuple[np.ndarray, float]:
        """Contributions [d] of a model that is a sum over columns, and the mean over the background.

        In a sum, what changes when one column becomes another row's is the same whatever the others are: so one background row
        is enough to hold each column in, and the means over the background are made once.
        """
        count, many = len(self._columns), len(self._background)
        alone = np.eye(count, dtype=bool)
        if label not in self._usual:
            held = [self._background.iloc[[0]].reset_index(drop=True)] * many
            frames = [self._mixed(pd.concat(held, ignore_index=True), self._background, place) for place in range(count)]
            means = self._values(pd.concat(frames, ignore_index=True), label).reshape(count, many).mean(axis=1)
            self._usual[label] = means, float(self._values(self._background, label).mean())
        means, base = self._usual[label]
        own = self._game(row, label)(alone, np.zeros(count, dtype=np.int64))
        return own - means, base

    def _mixed(self, rows: pd.DataFrame, others: pd.DataFrame, place: int) -> pd.DataFrame:
        """Rows whose column at one place is that of other rows."""
        name = self._columns[place].name
        return rows.assign(**{name: others[name].to_numpy()})

    def _game(self, row: pd.DataFrame, label: str | None) -> Game:
        """Values of rows that are partly this row and partly one of the background."""

        def game(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
            mixed = self._background.iloc[rows].reset_index(drop=True)
            columns = {
                column.name: mixed[column.name].where(~known[:, place], row[column.name].iloc[0])
                for place, column in enumerate(self._columns)
            }
            return self._values(pd.DataFrame(columns), label)

        return game
