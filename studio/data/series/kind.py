"""Datasets of time series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.data.kinds import DatasetKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from studio.core.telling import Told
    from studio.core.workspace import Workspace
    from studio.data.build import BuildOutcome
    from studio.data.entries import Entry
    from studio.data.kinds import Wanted
    from studio.data.proposals import Proposal, Refusal
    from studio.data.stages import Tell
    from studio.schema.loading import Settings
    from studio.schema.series_recipe import SeriesRecipe


class SeriesKind(DatasetKind):
    """Numbers in time."""

    name = "series"
    rows = "time series"
    title = "Series recipe"
    about = "`data_recipes/series/*.yaml`: one or many time series."

    @property
    def schema(self) -> type[Settings]:
        """See :class:`studio.schema.series_recipe.SeriesRecipe`."""
        from studio.schema.series_recipe import SeriesRecipe

        return SeriesRecipe

    def build(self, recipe: SeriesRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        """See :func:`studio.data.series.build.build_series_dataset`."""
        from studio.data.series.build import build_series_dataset

        return build_series_dataset(recipe, workspace, name=name, beside=beside, tell=tell)

    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        """See :func:`studio.data.series.showing.series_entries`."""
        from studio.data.series.showing import series_entries

        return series_entries(folder, part)

    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:  # noqa: ARG002 - it has no options of its own
        """See :func:`studio.data.series.showing.show_series`."""
        from studio.data.series.showing import show_series

        return show_series(folder, wanted)

    def propose(self, path: Path) -> Proposal | Refusal | None:
        """See :func:`studio.data.series.proposing.propose_series`."""
        from studio.data.series.proposing import propose_series

        return propose_series(path)


SERIES = SeriesKind()
