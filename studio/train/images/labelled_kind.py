"""Runs of the two other generative families, a VAE and a GAN: small networks, trained from scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace
from studio.schema.loading import load_yaml
from studio.train.images.kind import ImageKind
from studio.train.kinds import Planned, PlanWish
from studio.train.opening import SCRATCH, Asked, Say

if TYPE_CHECKING:
    from studio.schema.generative import GanAdapter, VaeAdapter


class LabelledKind(ImageKind):
    """What a VAE and a GAN share."""

    @property
    def trainer(self) -> Callable[..., RunRecord]:
        """See :func:`studio.train.images.labelled.train_labelled_run`."""
        from studio.train.images.labelled import train_labelled_run

        return train_labelled_run

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.train.images.opening import find_pictures, refuse_processes
        from studio.train.record import open_run

        refuse_processes(asked.processes)
        if asked.model is not None:
            raise UserError(f"--model {asked.model}: a VAE or GAN is trained from scratch and has no base. Leave it out.")
        adapter = cast("VaeAdapter | GanAdapter", load_yaml(asked.preset, self.schema, asked.overrides))
        dataset_folder, dataset = find_pictures(adapter.data, workspace)
        workspace.check_writable()
        adapter = adapter.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"})
        return open_run(
            adapter,
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=dataset_folder,
            dataset=dataset,
            base=SCRATCH,
            processes=1,
            method="scratch",
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:  # noqa: ARG002 - refused
        """Not needed.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{asked.called} is of kind {self.name}, whose small networks need no plan. "
            f"Train it: studio train {asked.called} --data DATASET"
        )


class VaeKind(LabelledKind):
    """Variational autoencoders."""

    name = "vae"
    title = "VAE preset"
    about = "`adapters/image/vae.yaml`: a variational autoencoder from scratch."

    @property
    def schema(self) -> type[VaeAdapter]:
        """See :class:`studio.schema.generative.VaeAdapter`."""
        from studio.schema.generative import VaeAdapter

        return VaeAdapter

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """The negative evidence lower bound."""
        return "nats per number (negative bound)"


class GanKind(LabelledKind):
    """Generative adversarial networks."""

    name = "gan"
    title = "GAN preset"
    about = "`adapters/image/gan.yaml`: a generative adversarial network from scratch."

    @property
    def schema(self) -> type[GanAdapter]:
        """See :class:`studio.schema.generative.GanAdapter`."""
        from studio.schema.generative import GanAdapter

        return GanAdapter

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """It moves with the discriminator."""
        return "of the generator; its size says nothing about the pictures"


VAE = VaeKind()
GAN = GanKind()
