"""Runs of embeddings and of rerankers: opened, planned, trained and told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.telling import size_text
from studio.core.workspace import Workspace, read_dataset
from studio.schema.loading import load_yaml
from studio.train.kinds import Planned, PlanWish, RunKind
from studio.train.opening import Asked, Say

if TYPE_CHECKING:
    from studio.schema.embed import AnyRetrievalPreset, EmbeddingPreset, RerankerPreset


class RetrievalKind(RunKind):
    """What both share."""

    suite = "retrieval"
    datasets = ("chat",)
    app = None

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.models.embed.opening import sentence_transformers
        from studio.train.embed.rows import read_rows
        from studio.train.embed.run import find_retriever
        from studio.train.opening import named_dataset
        from studio.train.record import open_run

        if asked.processes > 1:
            raise UserError(
                f"--processes {asked.processes}: runs of kind {self.name} train in one process, for a batch is one contrast. "
                "Leave it out, and set micro_batch_size for large batches."
            )
        preset = cast("AnyRetrievalPreset", load_yaml(asked.preset, self.schema, asked.overrides))
        sentence_transformers()
        folder = workspace.find_dataset(named_dataset(preset.data, workspace))
        read_rows(folder, preset)
        base = find_retriever(preset)
        workspace.check_writable()
        dataset = read_dataset(folder)
        resolved: dict[str, str] = {"data": f"{dataset.name}/{dataset.fingerprint}"}
        if base.source == "local":  # found again from any folder
            resolved["model"] = str(base.folder)
        return open_run(
            preset.model_copy(update=resolved),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=folder,
            dataset=dataset,
            base=base.record(),
            processes=1,
            method="full" if preset.tune == "all" else "lora",
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:  # noqa: ARG002 - it is quick
        """See :func:`studio.train.embed.planning.plan_retrieval`."""
        from studio.train.embed.planning import plan_retrieval

        if wish.sweep:
            raise UserError("--sweep finds the largest batch of language models. Leave it out, and try other micro_batch_size.")
        preset = cast("AnyRetrievalPreset", load_yaml(asked.preset, self.schema, asked.overrides))
        return plan_retrieval(preset, wish, workspace)

    def train(
        self,
        folder: Path,
        *,
        resume: bool,
        processes: int,  # noqa: ARG002 - one process, checked when it was opened
        accelerate_config: Path | None,
        say: Say,
    ) -> RunRecord:
        """See :func:`studio.train.embed.run.train_retrieval`."""
        from studio.train.embed.run import train_retrieval

        if accelerate_config is not None:
            raise UserError(f"--accelerate-config: runs of kind {self.name} train in one process. Leave it out.")
        preset = cast("AnyRetrievalPreset", load_yaml(folder / "config.yaml", self.schema))
        return train_retrieval(folder, preset, resume=resume, say=say)

    def figures(self, folder: Path, record: RunRecord) -> Iterable[tuple[str, object]]:  # noqa: ARG002 - all is in the record
        """Validation and memory."""
        result = record.result
        if result.get("validation_loss") is not None:
            held = result.get("validation") or {}
            found = ", ".join(
                f"{title} {held[name]:.3f}" for name, title in (("ndcg_10", "nDCG@10"), ("recall_1", "recall@1")) if name in held
            )
            kept = f"at step {result['best_step']}, whose weights are kept"
            yield "validation", f"{result['validation_loss']:.3f} {kept}" + (f"; {found}" if found else "")
        yield "memory", f"peak {size_text(result['peak_memory_bytes'])}"

    def next_steps(self, folder: Path, record: RunRecord) -> list[str]:
        """Measure it, and serve it."""
        return [*super().next_steps(folder, record), f"studio serve {folder.parent.name}/{folder.name}"]


class EmbeddingKind(RetrievalKind):
    """Runs that give texts vectors."""

    name = "embedding"
    title = "Embedding preset"
    about = "`adapters/embed/*.yaml`: encoders whose vectors find the passages that answer a question. Extra `embed`."

    @property
    def schema(self) -> type[EmbeddingPreset]:
        """See :class:`studio.schema.embed.EmbeddingPreset`."""
        from studio.schema.embed import EmbeddingPreset

        return EmbeddingPreset

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """The mean over questions."""
        return "per question"


class RerankerKind(RetrievalKind):
    """Runs that judge a question with a passage."""

    name = "reranker"
    title = "Reranker preset"
    about = "`adapters/embed/reranker.yaml`: cross-encoders that put the passages a search has found into order. Extra `embed`."

    @property
    def schema(self) -> type[RerankerPreset]:
        """See :class:`studio.schema.embed.RerankerPreset`."""
        from studio.schema.embed import RerankerPreset

        return RerankerPreset

    def loss_unit(self, record: RunRecord) -> str:  # noqa: ARG002 - the same for all
        """The mean over pairs."""
        return "nats per pair"


EMBEDDING = EmbeddingKind()
RERANKER = RerankerKind()
