"""Runs that find groups of rows: opened, planned, trained, told, and asked where further rows belong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.telling import Pairs, Told
from studio.core.workspace import Workspace
from studio.schema.loading import load_yaml
from studio.train.kinds import Answers, Planned, PlanWish, RunKind
from studio.train.opening import SCRATCH, Asked, Say

if TYPE_CHECKING:
    from studio.schema.clusters import ClustersPreset
    from studio.train.measuring import Measured


class ClustersKind(RunKind):
    """Runs that find groups of rows."""

    name = "clusters"
    title = "Cluster preset"
    about = "`adapters/cluster/*.yaml`: groups of rows that are alike, of tables, texts and pictures."
    suite = "clustering"
    datasets = ("table", "chat", "image")
    app = None

    @property
    def schema(self) -> type[ClustersPreset]:
        """See :class:`studio.schema.clusters.ClustersPreset`."""
        from studio.schema.clusters import ClustersPreset

        return ClustersPreset

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.train.clusters.embeddings import find_base
        from studio.train.clusters.rows import read_training_rows
        from studio.train.opening import named_dataset
        from studio.train.record import open_run

        if asked.processes > 1:
            raise UserError(f"--processes {asked.processes}: groups are found in one process. Leave it out.")
        preset = load_yaml(asked.preset, self.schema, asked.overrides)
        folder = workspace.find_dataset(named_dataset(preset.data, workspace))
        dataset, rows = read_training_rows(folder, preset)
        base = find_base(preset, rows.columns)
        workspace.check_writable()
        return open_run(
            preset.model_copy(update={"data": f"{dataset.name}/{dataset.fingerprint}"}),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=folder,
            dataset=dataset,
            base=base.record() if base is not None else SCRATCH,
            processes=1,
            method=preset.estimator.type,
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:  # noqa: ARG002 - nothing takes long
        """See :meth:`studio.train.kinds.RunKind.plan`."""
        from studio.train.clusters.planning import plan_groups

        preset = load_yaml(asked.preset, self.schema, asked.overrides)
        if wish.probe or wish.sweep:
            raise UserError("--probe measures steps and --sweep batches of networks; groups have neither. Leave them out.")
        rows, check = plan_groups(preset, workspace, wish)
        return Planned(Told((Pairs(rows),), dict(rows)), check)

    def train(
        self,
        folder: Path,
        *,
        resume: bool,  # noqa: ARG002 - it begins again and ends with the same bits
        processes: int,  # noqa: ARG002 - one process, checked when it was opened
        accelerate_config: Path | None,  # noqa: ARG002 - likewise
        say: Say,
    ) -> RunRecord:
        """See :meth:`studio.train.kinds.RunKind.train`."""
        from studio.train.clusters.run import train_clusters

        return train_clusters(folder, load_yaml(folder / "config.yaml", self.schema), say=say)

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """There is none."""
        return ""

    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:  # noqa: ARG002 - all stands in the record
        """What is told at the end of a training."""
        result = record.result
        sizes = ", ".join(f"{size:,}" for size in result["sizes"][:10]) + (" …" if len(result["sizes"]) > 10 else "")
        rows: list[tuple[str, object]] = [
            ("rows", f"{result['rows']:,}, {result['columns']} columns, {result['dimensions']} dimensions"),
            ("groups", f"{result['groups']}: {sizes} rows" if result["groups"] else "none"),
        ]
        if result["in_no_group"]:
            rows.append(("in no group", f"{result['in_no_group']:,} rows"))
        return [*rows, *(("found", sentence) for sentence in result["told"])]

    def measure(self, folder: Path, record: RunRecord, split: str) -> Measured:  # noqa: ARG002 - the model knows
        """See :func:`studio.train.clusters.measuring.measure_clusters`."""
        from studio.train.clusters.measuring import measure_clusters

        return measure_clusters(folder, load_yaml(folder / "config.yaml", self.schema), split)

    def predict(self, folder: Path, source: str | None, *, options: dict[str, str], say: Say) -> Answers:  # noqa: ARG002 - it is quick
        """See :meth:`studio.train.kinds.RunKind.predict`."""
        from studio.train.clusters.asking import place_file

        return place_file(folder, source, options)


CLUSTERS = ClustersKind()
