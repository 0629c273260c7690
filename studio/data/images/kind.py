"""Datasets of pictures."""

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
    from studio.data.workers import Hire
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import Settings


class ImageKind(DatasetKind):
    """Pictures with captions or labels."""

    name = "image"
    rows = "pictures"
    title = "Picture recipe"
    about = "`data_recipes/image/*.yaml`: one corpus of pictures."

    @property
    def schema(self) -> type[Settings]:
        """See :class:`studio.schema.image_recipe.ImageRecipe`."""
        from studio.schema.image_recipe import ImageRecipe

        return ImageRecipe

    def build(self, recipe: ImageRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell) -> BuildOutcome:
        """See :func:`studio.data.images.build.build_image_dataset`."""
        from studio.data.images.build import build_image_dataset

        return build_image_dataset(recipe, workspace, name=name, beside=beside, tell=tell)

    def build_with(
        self, recipe: ImageRecipe, workspace: Workspace, *, name: str, beside: Path, tell: Tell, hire: Hire
    ) -> BuildOutcome:
        """See :meth:`studio.data.kinds.DatasetKind.build_with`."""
        from studio.data.images.build import build_image_dataset

        return build_image_dataset(recipe, workspace, name=name, beside=beside, tell=tell, hire=hire)

    def entries(self, folder: Path, part: str) -> Iterable[Entry]:
        """See :func:`studio.data.images.entries.image_entries`."""
        from studio.data.images.entries import image_entries

        return image_entries(folder, part)

    def show(self, folder: Path, wanted: Wanted, **options: Any) -> Told:  # noqa: ARG002 - it has no options of its own
        """See :func:`studio.data.images.showing.show_pictures`."""
        from studio.data.images.showing import show_pictures

        return show_pictures(folder, wanted)

    def propose(self, path: Path) -> Proposal | Refusal | None:
        """See :func:`studio.data.images.proposing.propose_pictures`."""
        from studio.data.images.proposing import propose_pictures

        return propose_pictures(path)


IMAGE = ImageKind()
