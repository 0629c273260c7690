"""In words: how many groups, who says so, who says otherwise, and whether there is anything to be found."""

from __future__ import annotations

from collections.abc import Sequence

from studio.models.clusters.base import Curve, Structure

NAMES = {
    "silhouette": "the silhouette",
    "calinski_harabasz": "Calinski-Harabasz",
    "davies_bouldin": "Davies-Bouldin",
    "gap": "the gap statistic",
    "stability": "stability",
    "bic": "BIC",
}
NO_STRUCTURE = "no structure found"


def told_choice(chosen: int, by: str, curves: Sequence[Curve]) -> list[str]:
    """Who decided, who agrees, who does not."""
    says = {curve.criterion: curve.best for curve in curves if curve.criterion != by and curve.best is not None}
    agreeing = [NAMES[name] for name, best in says.items() if best == chosen]
    other = [f"{NAMES[name]} says {best}" for name, best in says.items() if best != chosen]
    own = next((curve.best for curve in curves if curve.criterion == by), None)
    first = (
        f"{chosen} groups, as {NAMES[by]} says"
        if own == chosen
        else f"{chosen} groups, the best of several for {NAMES[by]}, which says {own}"
    )
    first += f"; so does {agreeing[0]}" if len(agreeing) == 1 else f"; so do {_listed(agreeing)}" if agreeing else ""
    if not other:
        return [f"{first}: all criteria agree", *_at_the_end(chosen, curves)]
    told = f"{first}; but {_listed(other)}: the criteria disagree, and their curves should be looked at"
    return [told, *_at_the_end(chosen, curves)]


def _at_the_end(chosen: int, curves: Sequence[Curve]) -> list[str]:
    """That more groups might be better still, where the most that were tried were taken."""
    most = max(curve.counts[-1] for curve in curves)
    told = f"{chosen} is the most that was tried; more may be better: --set estimator.k_max={2 * most}"
    return [told] if chosen == most else []


def told_structure(structure: Structure, k: int) -> list[str]:
    """Whether there is anything to be found; k: groups that are kept."""
    if not structure.found:
        kept = f"; the {k} groups that are kept are pieces of a cloud" if k > 1 else ""
        return [f"{NO_STRUCTURE}: {'; and '.join(structure.reasons)}{kept}"]
    if not structure.compared:
        return ["the rows have a single dimension, so that shuffling its columns says nothing about structure"]
    known = [value for value in structure.shuffled if value is not None]
    of_shuffled = f"{max(known):.3f} at most" if known else "no groups at all"
    return [f"silhouette {structure.silhouette:.3f}; of rows whose columns were shuffled {of_shuffled}"]


def _listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
