"""Labels that are suggested to people: by a run that predicts, by a column, or the label that a row has already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import UserError, nearest
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import OWN_LABEL, Item, Suggestion

if TYPE_CHECKING:
    import pandas as pd

    from studio.models.predictors.base import Predictor


def suggestions(workspace: Workspace, folder: Path, items: Mapping[str, Item], what: str | None) -> dict[str, Suggestion]:
    """Row to what is suggested for it.

    Args:
        what: a column of the rows, or a run that predicts; None takes the labels that rows have.
    Raises:
        UserError: there is neither such a column nor such a run, or the run cannot read these rows.
    """
    if what is None:
        return {row: Suggestion(item.label, OWN_LABEL) for row, item in items.items() if item.label is not None}
    columns = dict.fromkeys(name for item in items.values() for name in item.fields)
    if what in columns:
        given = {row: item.fields.get(what) for row, item in items.items()}
        return {row: Suggestion(str(value), what) for row, value in given.items() if value not in (None, "")}
    try:
        run = workspace.find_run(what)
    except UserError as error:
        known = ", ".join(columns) or "none"
        raise UserError(f"--suggest {what}: no column is called so ({known}).{nearest(what, columns)} And {error}") from None
    return _of_run(run, folder)


def least_certain_first(rows: list[str], suggested: Mapping[str, Suggestion]) -> list[str]:
    """Rows in the order in which they are worth a person's time: the lowest probability first, those without one last."""

    def certainty(row: str) -> float:
        score = suggested[row].score if row in suggested else None
        return 2.0 if score is None else score

    return sorted(rows, key=certainty)


def _of_run(run: Path, folder: Path) -> dict[str, Suggestion]:
    """What a run predicts of every row of a Dataset.

    Raises:
        UserError: it predicts nothing, or not of such rows.
    """
    from studio.data.examples import Wanted, read_examples
    from studio.models.predictors.opening import open_predictor

    if not (run / "model" / "predictor.json").is_file():
        raise UserError(f"--suggest {run.parent.name}: this run predicts no labels. Name one of a preset classify/… or regress/…")
    predictor = open_predictor(run / "model")
    wanted = Wanted(features=tuple(column.name for column in predictor.info.columns))
    found: dict[str, Suggestion] = {}
    for split, rows in read_dataset(folder).splits.items():
        if rows:
            examples = read_examples(folder, split, wanted)
            found |= _predicted(predictor, examples.ids, examples.features, f"{run.parent.name}/{run.name}")
    return found


def _predicted(predictor: Predictor, ids: list[str], features: pd.DataFrame, by: str) -> dict[str, Suggestion]:
    """Labels with their probability; numbers without one."""
    said = predictor.predict(features)
    if said.probabilities is None:
        return {row: Suggestion(f"{value:.6g}", by) for row, value in zip(ids, said.values, strict=True)}
    best = said.probabilities.max(axis=1)
    return {row: Suggestion(str(label), by, float(score)) for row, label, score in zip(ids, said.values, best, strict=True)}
