"""What a training of retrieval takes, before it starts: memory by tracing one step without contents, time by a few real steps.

Legend: n texts of a pass, s tokens of the longest.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from studio.core.telling import Pairs, Told
from studio.core.workspace import Workspace
from studio.models.bases import ResolvedBase
from studio.models.device import pick_device
from studio.models.predictors.encoder import load_encoder_tokenizer
from studio.schema.embed import AnyRetrievalPreset, EmbeddingPreset
from studio.train.budget import Budget, StopAfterAFewSteps, disk_of, probed_seconds
from studio.train.capacity import free_disk, memory_of
from studio.train.embed.adapters import prepare_training, set_dropout
from studio.train.embed.learning import RetrievalLearner
from studio.train.embed.rows import RetrievalRows, TextReport, read_rows, text_report
from studio.train.embed.run import find_retriever, objective_of, open_model
from studio.train.kinds import Planned, PlanWish
from studio.train.opening import named_dataset
from studio.train.plan_baseline import baseline_bytes
from studio.train.storage import StorageTracker, materialise

_TRAINER = "studio.train.embed.run"


@dataclass(frozen=True, kw_only=True)
class RetrievalPlan(Budget):
    """The forecast. texts: that go through the model in the largest pass, each of ``tokens``."""

    headroom = 1.3
    """What the way back holds for a moment, the mapped file of the weights, libraries that come later. A training with
    embed/pairs on construction-faq-en took 2.60 GB where the parts are 2.08 GB."""
    remedy = "Set a smaller micro_batch_size (the result stays the same with dropout 0), a shorter max_length, or tune: lora."

    rows: int
    texts: int
    tokens: int


def plan_retrieval(preset: AnyRetrievalPreset, wish: PlanWish, workspace: Workspace) -> Planned:
    """The plan in words.

    Raises:
        UserError, DataError: as the training itself would.
    """
    base = find_retriever(preset)
    rows = read_rows(workspace.find_dataset(named_dataset(preset.data, workspace)), preset)
    report = text_report(rows, load_encoder_tokenizer(base.folder), preset)
    device = wish.device or pick_device().type
    memory = wish.memory if wish.memory is not None else memory_of("cuda" if device == "cuda" else "cpu")
    planned = plan_steps(preset, base, rows, report, device=device, memory=memory, free=free_disk(workspace))
    if wish.probe and planned.fits:
        planned = replace(planned, seconds=_probed(preset, base, rows))
    told: list[tuple[str, object]] = [
        ("trains", f"{planned.trained:,} of {planned.parameters:,} parameters ({preset.tune})"),
        *(("reads", line) for line in report.lines()),
        ("steps", f"about {planned.steps:,} at most, of {preset.batch_size} rows"),
        ("a pass", f"{planned.texts:,} texts of up to {planned.tokens} tokens at once"),
        *planned.told(),
    ]
    document = {"kind": preset.kind, **asdict(planned), "needed": planned.needed, "fits": planned.fits, "texts": report.as_dict()}
    return Planned(Told((Pairs(told),), document), planned.check)


def plan_steps(
    preset: AnyRetrievalPreset,
    base: ResolvedBase,
    rows: RetrievalRows,
    report: TextReport,
    *,
    device: str,
    memory: int | None,
    free: int | None,
) -> RetrievalPlan:
    """Forecast a training on these rows; nothing of the model's size is allocated."""
    shapes = shapes_at_once(preset, rows, report)
    traced = _trace(preset, base, shapes)
    trained = traced["trained"]
    parts = {
        "runtime": baseline_bytes(device, _TRAINER, measure_context=False),
        "weights": 4 * traced["parameters"],
        "best weights so far": 4 * trained if rows.validation else 0,
        "gradients": 4 * trained,
        "optimizer": 8 * trained,
        "activations": traced["activations"],
    }
    epochs = preset.epochs * math.ceil(len(rows.train) / preset.batch_size)
    return RetrievalPlan(
        parameters=traced["parameters"],
        trained=trained,
        rows=len(rows.train),
        texts=sum(texts for texts, _ in shapes),
        tokens=max(tokens for _, tokens in shapes),
        steps=min(epochs, preset.max_steps or epochs),
        parts=parts,
        disk=disk_of(traced["parameters"], trained),
        memory=memory,
        free_disk=free,
    )


def shapes_at_once(preset: AnyRetrievalPreset, rows: RetrievalRows, report: TextReport) -> list[tuple[int, int]]:
    """Texts and tokens of the passes whose activations are held at the same time, at most: questions, and what answers them."""
    size = min(preset.batch_size, len(rows.train))
    questions, passages = (min(preset.max_length, longest) for longest in (report.longest_question, report.longest_passage))
    if preset.micro_batch_size is not None:
        most = size if isinstance(preset, EmbeddingPreset) else size * (1 + preset.negatives)
        return [(min(preset.micro_batch_size, most), max(questions, passages))]
    disliked = sorted((len(row.negatives) for row in rows.train), reverse=True)[:size]
    if isinstance(preset, EmbeddingPreset):
        against = sum(min(1, count) if preset.loss == "triplet" else count for count in disliked)
        return [(size, questions), (size + against, passages)]
    return [(size * (1 + preset.negatives) + sum(disliked), passages)]


def _trace(preset: AnyRetrievalPreset, base: ResolvedBase, shapes: list[tuple[int, int]]) -> dict[str, int]:
    """Parameters, how many of them train, and bytes that the passes of a step keep for going back."""
    with torch.device("meta"):
        encoder = _skeleton(preset, base)
    set_dropout(encoder, preset.dropout)
    parameters = sum(value.numel() for value in encoder.parameters())
    trained = parameters if preset.tune == "all" else _adapter_parameters(encoder, preset.lora.rank)
    with FakeTensorMode(allow_non_fake_inputs=True):
        materialise(encoder)
        inputs = [
            {"input_ids": torch.zeros(shape, dtype=torch.int64), "attention_mask": torch.ones(shape, dtype=torch.int64)}
            for shape in shapes
        ]
        tracker = StorageTracker()
        tracker.ignore([*encoder.parameters(), *encoder.buffers(), *(value for one in inputs for value in one.values())])
        with tracker:
            outputs = [encoder(**one) for one in inputs]  # held, so that what the way back needs is counted
        kept = tracker.peak
        del outputs
    return {"parameters": parameters, "trained": trained, "activations": kept}


def _skeleton(preset: AnyRetrievalPreset, base: ResolvedBase) -> Any:
    """An encoder of the base's shape without contents."""
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(base.folder, local_files_only=True)
    if isinstance(preset, EmbeddingPreset):
        encoder = AutoModel.from_config(config)
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        return encoder.train()
    config.num_labels = 1
    return AutoModelForSequenceClassification.from_config(config).train()


def _adapter_parameters(encoder: torch.nn.Module, rank: int) -> int:
    """Parameters of adapters on every linear layer; a head trains whole."""
    count = 0
    for name, part in encoder.named_modules():
        if isinstance(part, torch.nn.Linear) and "pooler" not in name.split("."):
            head = name.split(".")[0] in {"classifier", "score"}
            own = sum(value.numel() for value in part.parameters())
            count += own if head else rank * (part.in_features + part.out_features)
    return count


def _probed(preset: AnyRetrievalPreset, base: ResolvedBase, rows: RetrievalRows) -> float:
    """Median seconds of a few real steps, in a folder that is thrown away.

    Raises:
        UserError, StudioError: as the training itself would.
    """
    from studio.train.predictors.learning import seeded

    with tempfile.TemporaryDirectory() as place, seeded(preset.seed):
        folder = Path(place)
        model = open_model(preset, base.folder, pick_device())
        trained = prepare_training(model, preset)
        objective = objective_of(model, preset, replace(rows, validation=[]))
        stop = StopAfterAFewSteps(folder)
        RetrievalLearner(folder, objective, trained, resume=False, say=lambda _text: None, stop=stop).run()
        return probed_seconds(folder)
