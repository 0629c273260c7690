"""The order of rows, and their way into tensors. Legend: b rows of a micro batch, s padded length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from studio.models.chat.encoding import IGNORE, EncodedRow

# Windows of the same neighbourhood are sorted by length together: large enough to save most padding, small enough that
# what a step sees stays random. 50 is what transformers' LengthGroupedSampler uses.
NEIGHBOURHOOD = 50


@dataclass(frozen=True)
class Slot:
    """One row of one micro batch. A ghost fills a place that has no row and carries no loss."""

    index: int
    ghost: bool = False


def training_windows(
    lengths: Sequence[int], *, batch_size: int, epochs: float, seed: int, length_sorting: bool
) -> list[list[int]]:
    """The rows of every optimizer step of the whole training, decided once from the seed.

    Every row is seen exactly once per epoch; the last window of an epoch may be smaller (the loss is normalised by its
    tokens, so it weighs what it should). The order depends on neither the micro batch nor the number of processes.

    Args:
        lengths: tokens per row.
        batch_size: rows per optimizer step.
        epochs: passes over the rows; a fraction takes the first part of the last pass.
    """
    windows: list[list[int]] = []
    epoch = 0
    while epochs - epoch > 1e-9:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(lengths), generator=generator).tolist()
        if length_sorting:
            span = batch_size * NEIGHBOURHOOD
            order = [
                index
                for start in range(0, len(order), span)
                for index in sorted(order[start : start + span], key=lambda row: -lengths[row])
            ]
        this = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        if length_sorting:
            this = [this[position] for position in torch.randperm(len(this), generator=generator).tolist()]
        share = min(1.0, epochs - epoch)
        windows += this[: max(1, round(len(this) * share))]
        epoch += 1
    return windows


class MicroBatches(Sampler[list[Slot]]):
    """Cuts every window into the micro batches of one process, the same number for each window and process.

    Neighbours in length go to different processes, so that they wait little for each other.
    """

    def __init__(self, windows: Sequence[Sequence[int]], *, accumulation: int, micro: int, rank: int, world: int) -> None:
        """``accumulation`` micro batches of at most ``micro`` rows per window, for process ``rank`` of ``world``."""
        self.windows, self.accumulation, self.micro, self.rank, self.world = windows, accumulation, micro, rank, world

    def __len__(self) -> int:
        """Micro batches of this process over the whole training."""
        return len(self.windows) * self.accumulation

    def __iter__(self) -> Iterator[list[Slot]]:
        """Yield the slots of one micro batch at a time."""
        for window in self.windows:
            mine = list(window[self.rank :: self.world])
            for step in range(self.accumulation):
                rows = [Slot(index) for index in mine[step * self.micro : (step + 1) * self.micro]]
                yield rows or [Slot(window[0], ghost=True)]


class SlotDataset(TorchDataset[list[tuple[EncodedRow, bool]]]):
    """Training sequences addressed by slot. A sequence is one row, or several when packed."""

    def __init__(self, rows: Sequence[EncodedRow], sequences: Sequence[Sequence[int]]) -> None:
        """Keep the rows in memory; they are a few integers per token."""
        self.rows, self.sequences = rows, sequences

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.sequences)

    def __getitem__(self, slot: Slot) -> list[tuple[EncodedRow, bool]]:
        """The rows of one sequence, each with whether it is a ghost."""
        return [(self.rows[index], slot.ghost) for index in self.sequences[slot.index]]


@dataclass(frozen=True)
class Collator:
    """Turns the slots of one micro batch into tensors, padded or packed."""

    pad_id: int
    packed: bool

    def __call__(self, items: Sequence[Sequence[tuple[EncodedRow, bool]]]) -> dict[str, torch.Tensor]:
        """See :func:`collate_padded` and :func:`collate_packed`."""
        rows = [pair for sequence in items for pair in sequence]
        return collate_packed(rows) if self.packed else collate_padded(rows, self.pad_id)


def targets_of(row: EncodedRow) -> list[int]:
    """Int [s]: what each position is to predict, -100 where there is no loss; the last position predicts nothing."""
    following = zip(row.input_ids[1:], row.trained[1:], strict=True)
    return [token if trained else IGNORE for token, trained in following] + [IGNORE]


def weights_of(row: EncodedRow) -> list[float]:
    """Float [s]: how much what each position is to predict counts; the last position predicts nothing."""
    return [*row.weights[1:], 1.0] if row.weights else [1.0] * len(row.input_ids)


def _weighted(items: Sequence[tuple[EncodedRow, bool]]) -> bool:
    """True when a row has weights; batches without one carry no tensor for them."""
    return any(row.weights is not None for row, _ in items)


def collate_padded(items: Sequence[tuple[EncodedRow, bool]], pad_id: int) -> dict[str, torch.Tensor]:
    """Pad rows on the right.

    Returns:
        input_ids int64 [b, s], attention_mask int64 [b, s], targets int64 [b, s] (already shifted, -100 without loss); and
        weights float32 [b, s] of the targets where a row has any.
    """
    longest = max(len(row.input_ids) for row, _ in items)
    input_ids = torch.full((len(items), longest), pad_id)
    attention_mask = torch.zeros((len(items), longest), dtype=torch.int64)
    targets = torch.full((len(items), longest), IGNORE)
    for place, (row, ghost) in enumerate(items):
        size = len(row.input_ids)
        input_ids[place, :size] = torch.tensor(row.input_ids)
        attention_mask[place, :size] = 1
        if not ghost:
            targets[place, :size] = torch.tensor(targets_of(row))
    batch = {"input_ids": input_ids, "attention_mask": attention_mask, "targets": targets}
    if _weighted(items):
        batch["weights"] = torch.ones((len(items), longest))
        for place, (row, _) in enumerate(items):
            batch["weights"][place, : len(row.input_ids)] = torch.tensor(weights_of(row))
    return batch


def collate_packed(items: Sequence[tuple[EncodedRow, bool]]) -> dict[str, torch.Tensor]:
    """Join rows into one sequence whose position ids restart at every row; no attention mask, which would join them.

    With restarting position ids and neither mask nor cache, transformers builds a block-diagonal mask for SDPA and eager
    and variable-length calls for FlashAttention. ``studio.train.chat.packing.prove_isolation`` checks that it does.

    Returns:
        input_ids, position_ids, targets: int64 [1, s] with s the sum of the lengths; and weights float32 [1, s] of the targets
        where a row has any.
    """
    ids = [token for row, _ in items for token in row.input_ids]
    positions = [position for row, _ in items for position in range(len(row.input_ids))]
    targets = [target for row, ghost in items for target in ([IGNORE] * len(row.input_ids) if ghost else targets_of(row))]
    batch = {"input_ids": torch.tensor([ids]), "position_ids": torch.tensor([positions]), "targets": torch.tensor([targets])}
    if _weighted(items):
        batch["weights"] = torch.tensor([[weight for row, _ in items for weight in weights_of(row)]])
    return batch
