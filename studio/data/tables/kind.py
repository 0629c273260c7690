"""Datasets of tables."""

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
    from studio.schema.table_recipe import TableRecipe


class TableKind(DatasetKind):
    """Rows with named columns."""

    name = "table"
    rows = "rows of a table"
    title = "Table recipe"
    about = "`data_recipes/table/*.yaml`: one table, with a column that is predicted."

    @property
    def schema(self) -> type[Settings]:
        """See :class:`studio.schema.table_recipe.TableRecipe`."""
        from studio.schema.table_recipe import TableRecipe

        return TableRecipe

    def build(self, recipe: TableRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        """See :func:`studio.data.tables.build.build_table_dataset`."""
        from studio.data.tables.build import build_table_dataset

        return build_table_dataset(recipe, workspace, name=name, beside=beside, tell=tell)

    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        """See :func:`studio.data.tables.entries.table_entries`."""
        from studio.data.tables.entries import table_entries

        return table_entries(folder, part)

    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:  # noqa: ARG002 - it has no options of its own
        """See :func:`studio.data.tables.showing.show_rows`."""
        from studio.data.tables.showing import show_rows

        return show_rows(folder, wanted)

    def propose(self, path: Path) -> Proposal | Refusal | None:
        """See :func:`studio.data.tables.proposing.propose_table`."""
        from studio.data.tables.proposing import propose_table

        return propose_table(path)


TABLE = TableKind()
