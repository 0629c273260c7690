"""What a reader of a report on groups is told in sentences: the beginning, the warnings, and what the numbers do not show."""

from __future__ import annotations

from studio.core.records import Score
from studio.core.telling import counted
from studio.data.examples import Examples
from studio.evals.numbers import figure, number
from studio.evals.task import TaskResult
from studio.models.clusters.base import ClustersInfo
from studio.schema.cluster_scores import ClusteringTask

_FEW = 30
# Below this, fewer than nine in ten training rows are placed where the training put them.
_PLACED_AGAIN = 0.9


def lead_of(info: ClustersInfo, result: TaskResult) -> list[str]:
    """How many groups of what, how tight beside the baseline, how like the labels."""
    columns = _columns(info)
    if not info.choice.k:
        return [f"It found no group of rows by {columns}: too few of them lie close together."]
    known = {one.metric: one for one in result.scores["tuned"]}
    other = {one.metric: one for one in result.scores.get("base", [])}
    found = (
        f"It sorts rows into {counted(info.choice.k, 'group')} by {columns}; {counted(result.rows, 'row')} that it had not seen "
        "were placed in them."
    )
    sentences = [found]
    if known["silhouette"].value is not None:
        beside = other.get("silhouette")
        against = (
            f"; in rows whose columns were shuffled {number(beside.value)}"
            if _shuffled(result) and beside and beside.value is not None
            else ""
        )
        sentences.append(f"Their silhouette is {_interval(known['silhouette'])}{against}.")
    if known["stability"].value is not None:
        sentences.append(
            "Found anew in bootstrap samples, the groups come back with an adjusted Rand index of "
            f"{_interval(known['stability'])}."
        )
    if "ari" in known and known["ari"].value is not None:
        sentences.append(f"With the labels they agree with an adjusted Rand index of {_interval(known['ari'])}; chance gives 0.")
    return sentences


def _columns(info: ClustersInfo) -> str:
    """What groups are made of."""
    if len(info.columns) == 1:
        [column] = info.columns
        return {"text": "their text", "picture": "their picture"}.get(column.type, f"the column {column.name}")
    return counted(len(info.columns), "column")


def _shuffled(result: TaskResult) -> bool:
    """True where the baseline is no other Run."""
    return result.about.get("base", {}).get("kind") == "baseline"


def _interval(score: Score) -> str:
    """A value with its interval."""
    if score.low is None or score.high is None:
        return number(score.value)
    return f"{number(score.value)} ({number(score.low)} to {number(score.high)})"


def notes_of(info: ClustersInfo, rows: Examples, task: ClusteringTask) -> list[str]:
    """What the reader must be warned of."""
    notes = []
    if not info.choice.structure.found:
        notes.append(info.choice.told[0][:1].upper() + info.choice.told[0][1:] + ".")
    elif any("disagree" in sentence for sentence in info.choice.told):
        sentence = next(sentence for sentence in info.choice.told if "disagree" in sentence)
        notes.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    if info.placed_again < _PLACED_AGAIN:
        notes.append(
            f"{figure(info.placed_again, 'share')} of the training rows are placed in the group that the training put them in: "
            f"rows are placed {_way(info)}, which is not how the groups were found."
        )
    features = {column.name for column in info.columns}
    if task.labels in features:
        notes.append(
            f"The labels, {task.labels}, are one of the columns that groups were made of: agreement with them says nothing new."
        )
    if len(rows) < _FEW:
        notes.append(f"Only {counted(len(rows), 'row')}: intervals from so few are wide, and small differences cannot be seen.")
    return notes


def _way(info: ClustersInfo) -> str:
    """How rows are placed."""
    return "by the nearest mean of a group" if info.form == "centres" else "by the nearest training rows"


def limits_of(info: ClustersInfo, *, unfolded: bool) -> list[str]:
    """What these numbers do not show; unfolded: the space was made by UMAP."""
    found = [
        "Groups are a way to look at rows, not a fact about them: other columns, scales or distances give others. Stable groups "
        "come back, which does not make them meaningful.",
        "Silhouette, Calinski-Harabasz and Davies-Bouldin favour round groups of similar width; of long or nested groups they "
        "say little.",
        "Shuffled columns keep what each column holds by itself: groups that lie in single columns are not shown to be any.",
    ]
    if info.form == "centres" and info.estimator.get("type") == "agglomerative":
        found.append("Agglomerative groups have no rule for further rows: these were placed by the nearest mean of a group.")
    if unfolded:
        found.append(
            "UMAP pulls rows apart into groups, also such as have none: its distances are not those of the rows. For the "
            "bootstrap samples groups were found anew, and UMAP was not."
        )
    if info.form == "dense":
        found.append(
            "HDBSCAN has no rule for further rows: these were placed by the training rows near them, within the distance at "
            "which a group's own rows hang together."
        )
    return found
