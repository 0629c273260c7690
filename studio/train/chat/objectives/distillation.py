"""Learning what a teacher says at every target, not only which token stands there (Hinton, https://arxiv.org/abs/1503.02531).

The teacher is asked once, before the first step, and its likeliest tokens are kept on disk; or it stays in memory, sees the whole
vocabulary, and also judges answers that the student writes itself (GKD, https://arxiv.org/abs/2306.13649).

Legend: b rows of a micro batch, s padded length, n targets in it, v vocabulary, k tokens kept of each target.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.workspace import Workspace, read_run
from studio.data.chat.rows import ChatRow
from studio.models.bases import ResolvedBase
from studio.models.chat.encoding import IGNORE, EncodedRow, end_ids
from studio.models.chat.loading import load_tokenizer, read_config
from studio.models.chat.templates import ChatTemplate
from studio.schema.adapter import ChatAdapter
from studio.train.chat.batches import Collator
from studio.train.chat.encode import EncodedSplit
from studio.train.chat.objectives.base import Beside, Objective, Opened
from studio.train.chat.objectives.conversations import SFT
from studio.train.chat.objectives.divergence import Taught, divergence, own_loss
from studio.train.chat.objectives.student import write_anew
from studio.train.chat.objectives.teacher import Asking, LiveTeacher, TeacherSource, find_teacher, forget, refuse_other_words
from studio.train.chat.objectives.teacher_cache import FOLDER, CachedTeacher, has_cache, wait_for_cache, write_cache
from studio.train.chat.objectives.teacher_plan import teacher_beside
from studio.train.chat.objectives.teacher_rows import OF_ROWS, fill_from_rows
from studio.train.chat.plan_trace import BatchShape
from studio.train.chat.settings import split_batch
from studio.train.chat.trainer import ChatTrainer

_WRITTEN = -2
"""Number of a row whose answer the student has written."""


@dataclass(frozen=True)
class NumberedRow(EncodedRow):
    """A row that knows its place among all training and validation rows, by which the teacher's words are found."""

    number: int = -1


def numbered(rows: Sequence[EncodedRow], first: int = 0) -> list[NumberedRow]:
    """The rows with their numbers, from ``first`` on."""
    own = [field.name for field in fields(EncodedRow)]
    return [NumberedRow(**{name: getattr(row, name) for name in own}, number=first + place) for place, row in enumerate(rows)]


@dataclass(frozen=True)
class DistillCollator(Collator):
    """As its parent, with the rows' numbers int64 in their order; -1 for a ghost, -2 for an answer of the student's."""

    def __call__(self, items: Sequence[Sequence[tuple[EncodedRow, bool]]]) -> dict[str, Tensor]:
        """See :class:`studio.train.chat.batches.Collator`."""
        numbers = [-1 if ghost else row.number for sequence in items for row, ghost in sequence]  # type: ignore[attr-defined]
        return {**super().__call__(items), "numbers": torch.tensor(numbers)}


class DistillTrainer(ChatTrainer):
    """Trains on the divergence from a teacher; order, checkpoints and everything else are those of its parent."""

    def __init__(
        self, *, adapter: ChatAdapter, teacher: Asking, ends: Sequence[int], limit: int, tokenizer: PreTrainedTokenizerBase,
        **settings: Any,
    ) -> None:  # fmt: skip
        """``settings`` as :class:`ChatTrainer`.

        Args:
            teacher: says, of a micro batch, what it thinks of each target.
            ends: ids that end an answer of the student's.
            limit: tokens that a row may have.
        """
        training = numbered(settings.pop("rows"))
        validation = numbered(settings.pop("validation"), first=len(training))
        super().__init__(tokenizer=tokenizer, rows=training, validation=validation, **settings)
        self._collator = DistillCollator(int(tokenizer.pad_token_id), self._collator.packed)
        self.data_collator = self._collator
        self._distill, self._seed = adapter.distill, adapter.seed
        self._teacher, self._ends, self._limit = teacher, list(ends), limit
        self._said: Taught | None = None
        self._own: Tensor | None = None
        self._weights: Tensor | None = None
        self._sums = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        if self._distill.on_policy and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise UserError("distill.on_policy cannot write answers with a model in shards. Use --processes, or on_policy: 0.")

    def _target_nll(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Loss of each target of a micro batch [n] and its place in the flattened batch [n]."""
        places = (inputs["targets"].reshape(-1) != IGNORE).nonzero().squeeze(-1)  # [n]
        if places.numel():
            self._said = self._teacher(inputs)
            self._own = torch.ones_like(places, dtype=torch.float32)
            if self._distill.on_policy:
                self._own = (inputs["numbers"][places // inputs["targets"].shape[1]] != _WRITTEN).float()
            self._weights = inputs["weights"].reshape(-1)[places] if "weights" in inputs else None
        try:
            return super()._target_nll(model, inputs)
        finally:
            self._said = self._own = self._weights = None

    def _of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each target [n] the shares of divergence and own loss; what the student wrote has the divergence only."""
        if self._said is None or self._own is None:
            return super()._of_logits(logits, targets)
        apart = divergence(logits, self._said, beta=self._distill.beta, temperature=self._distill.temperature)
        share, known = self._distill.answer_share * self._own, self._said.known
        if known is not None:  # where the teacher says nothing, the answer itself is learnt
            apart, share = apart.where(known, 0.0), share.where(known, 1.0)
        needed = self._distill.answer_share or known is not None or not self.model.training
        nll = own_loss(logits, targets) if needed else torch.zeros_like(apart)
        if not self.model.training:
            weights = torch.ones_like(apart) if self._weights is None else self._weights
            self._sums += torch.stack([(apart * weights).sum(), (nll * weights).sum()]).detach().double()
        return (1 - share) * apart + share * nll

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Tensor]], device: torch.device) -> Tensor:
        """Let the student write the answers that are drawn for this step, then count as the parent does."""
        if self._distill.on_policy:
            self._write_answers(batch_samples)
        return super()._get_num_items_in_batch(batch_samples, device)

    def _write_answers(self, batches: list[dict[str, Tensor]]) -> None:
        """Put answers of the student's into the micro batches of a step, all written together, whatever the micro batch."""
        step = self.state.global_step
        numbers = [number for batch in batches for number in batch["numbers"].tolist() if number >= 0]
        drawn = [number for number in numbers if Random(f"{self._seed}/{step}/{number}").random() < self._distill.on_policy]
        rows = [self._slots.rows[number] for number in drawn]
        # Every process writes, also with nothing drawn for it: sampling alone tells nothing to the others.
        with self.compute_loss_context_manager():
            written = write_anew(
                self.accelerator.unwrap_model(self.model),
                rows,
                ends=self._ends,
                pad_id=self._collator.pad_id,
                limit=self._limit,
                new_tokens=self._distill.max_new_tokens,
                seed=self._seed * 1_000_003 + step * 1009 + self.accelerator.process_index,
            )
        anew = {number: row for number, row in zip(drawn, written, strict=True) if row is not None}
        for batch in batches:
            held = batch["numbers"].tolist()
            if anew.keys().isdisjoint(held):
                continue
            items = []
            for number in held:
                row = anew.get(number) or self._slots.rows[number]
                items.append([(replace(row, number=_WRITTEN if number in anew else number), False)])  # type: ignore[call-arg]
            changed = self._collator(items)
            batch.clear()
            batch.update(changed)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss, and its two parts."""
        self._sums.zero_()
        return super().evaluate(*args, **kwargs)

    def _also_validated(self, weight: float) -> dict[str, float]:
        """Divergence from the teacher, and the rows' own loss, both in nats per token."""
        sums = self.accelerator.reduce(self._sums, "sum") if self.accelerator.num_processes > 1 else self._sums
        return {"eval_divergence": float(sums[0]) / weight, "eval_nll": float(sums[1]) / weight}


class Distillation(Objective):
    """Answers, with what a teacher says of them."""

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        rows: Sequence[ChatRow],
        adapter: ChatAdapter,
        max_length: int,
    ) -> EncodedSplit:
        """As for learning the answers themselves."""
        return SFT.encode(tokenizer, template, rows, adapter, max_length)

    def trainer(self, adapter: ChatAdapter) -> Callable[..., ChatTrainer]:
        """See :class:`DistillTrainer`."""
        return partial(DistillTrainer, adapter=adapter)

    def settle(self, adapter: ChatAdapter, base: ResolvedBase, workspace: Workspace) -> dict[str, Any]:
        """The teacher by a name that holds from any folder.

        Raises:
            UserError: there is no such teacher, or its vocabulary is another than the student's.
        """
        if adapter.distill.teacher == OF_ROWS:
            return {}
        teacher = find_teacher(adapter.distill.teacher, workspace)
        refuse_other_words(teacher.tokenizer(), load_tokenizer(base), (str(adapter.distill.teacher), base.name))
        return {"distill": adapter.distill.model_copy(update={"teacher": teacher.reference})}

    def located(self, adapter: ChatAdapter, workspace: Workspace) -> ChatAdapter:
        """A teacher that is a run, by its folder."""
        if adapter.distill.teacher in {None, OF_ROWS}:
            return adapter
        try:
            folder = workspace.find_run(str(adapter.distill.teacher))
        except UserError:
            return adapter
        return adapter.model_copy(update={"distill": adapter.distill.model_copy(update={"teacher": str(folder)})})

    def before(self, opened: Opened) -> dict[str, Any]:
        """Ask the teacher about all rows, or take it into memory; a cache that is there is taken up without it."""
        distill, folder = opened.adapter.distill, opened.folder / "checkpoints" / FOLDER
        rows = [*opened.training.rows, *opened.validation.rows]
        ends = sorted({end for row in rows for end in end_ids(opened.tokenizer, row)})
        limit = max((len(row.input_ids) for row in rows), default=0) if not distill.on_policy else _limit(opened)
        more: dict[str, Any] = {"ends": ends, "limit": limit}
        if not distill.cached:
            source = find_teacher(distill.teacher, Workspace.around(opened.folder))
            _same_teacher(opened, source.record())
            return {**more, "teacher": _load(opened, source)}
        if not opened.main:
            wait_for_cache(folder)
        elif not has_cache(folder):
            if distill.teacher == OF_ROWS:
                fill_from_rows(opened, folder)
            else:
                _fill(opened, rows)
            forget(opened.device)
        cached = CachedTeacher(folder, rows, opened.device)
        opened.say("the teacher {name} said its {top_k} likeliest tokens of {targets:,} targets".format(**cached.about))
        return {**more, "teacher": cached}

    def planned(self, split: EncodedSplit, adapter: ChatAdapter, limit: int) -> tuple[list[int], list[int]]:
        """The rows, or the longest answers that the student may write in their place."""
        lengths, targets = super().planned(split, adapter, limit)
        if adapter.distill.on_policy:
            new = adapter.distill.max_new_tokens
            lengths = [max(length, min(limit, length - count + new)) for length, count in zip(lengths, targets, strict=True)]
            targets = [max(count, new) for count in targets]
        return lengths, targets

    def beside(self, adapter: ChatAdapter, dtype: torch.dtype, shape: BatchShape, supervised: Sequence[int] | None) -> Beside:
        """The teacher: its weights and one pass without gradients, and on disk what it says."""
        return teacher_beside(adapter, dtype, shape, supervised)

    def loss(self, adapter: ChatAdapter) -> Callable[[Tensor, Tensor], Tensor]:
        """The divergence from a teacher of tensors without contents, and the rows' own loss where it has a share."""
        distill = adapter.distill

        def of_logits(logits: Tensor, targets: Tensor) -> Tensor:
            shape, device = logits.shape, logits.device
            if distill.top_k is None:
                said = Taught(torch.empty(shape, device=device))
            else:
                size = (shape[0], min(distill.top_k, shape[1]))
                said = Taught(torch.empty(size, device=device), torch.zeros(size, dtype=torch.int64, device=device))
            apart = divergence(logits, said, beta=distill.beta, temperature=distill.temperature)
            return apart + own_loss(logits, targets) if distill.answer_share else apart

        return of_logits


def _limit(opened: Opened) -> int:
    """Tokens that a row with an answer of the student's may have."""
    config: Any = read_config(opened.base).get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or opened.adapter.max_length
    return min(opened.adapter.max_length, int(positions))


def _load(opened: Opened, source: TeacherSource) -> LiveTeacher:
    """The teacher in memory, told how many rows the student's head has."""
    distill = opened.adapter.distill
    if source.run is not None and read_run(source.run).template.get("sha256") != opened.template.sha256:
        opened.say("the teacher was tuned with another chat template; here it reads what the student's template writes")
    model = source.load(opened.dtype, opened.device, distill.teacher_quantization)
    words = int(read_config(opened.base).get_text_config().vocab_size)
    return LiveTeacher(model, temperature=distill.temperature, top_k=distill.top_k, words=words)


def _fill(opened: Opened, rows: Sequence[EncodedRow]) -> None:
    """Load the teacher and ask it about every row.

    Raises:
        KeyboardInterrupt: a signal came; nothing is kept.
    """
    distill = opened.adapter.distill
    source = find_teacher(distill.teacher, Workspace.around(opened.folder))
    teacher = _load(opened, source)

    def ask(batch: dict[str, Tensor]) -> Taught:
        if opened.stop.received is not None:
            raise KeyboardInterrupt
        return teacher(batch)

    heads = (read_config(opened.base), teacher.model.config)
    words = min(int(config.get_text_config().vocab_size) for config in heads)
    about = {
        **source.record(),
        "top_k": min(distill.top_k or words, words),
        "temperature": distill.temperature,
        "quantization": distill.teacher_quantization,
    }
    write_cache(
        opened.folder / "checkpoints" / FOLDER,
        rows,
        ask,
        about,
        batch=split_batch(opened.adapter, 1)[0],
        pad_id=int(opened.tokenizer.pad_token_id),  # type: ignore[arg-type]
        device=opened.device,
    )


def _same_teacher(opened: Opened, found: dict[str, Any]) -> None:
    """Write down who teaches, or go on only with the one that began.

    Raises:
        UserError: its weights have changed since.
    """
    path = opened.folder / "checkpoints" / "teacher.json"
    if opened.resumed and path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != found:
            raise UserError(
                f"the teacher {found['name']} is not the one that this run began with ({before['name']}, base sha256 "
                f"{before['sha256'][:12]}…). Bring its weights back, or start a new run."
            )
    elif opened.main:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)


DISTILL = Distillation()
