"""The wish to stop, handed to the trainer of transformers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from studio.train.recording import StopOnSignal


class StopCallback(TrainerCallback):
    """Ends the training with a checkpoint once a signal came. In several processes the wish is shared, so that all save at the
    same step.
    """

    def __init__(self, stop: StopOnSignal) -> None:
        """Keep what says whether a signal came."""
        self.stop = stop

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        """Ask for a checkpoint and the end."""
        wish = self.stop.received is not None
        if args.world_size > 1:
            flag = torch.tensor(int(wish), device=args.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            wish = bool(flag.item())
        if wish and state.global_step < state.max_steps:
            self.stop.stopped = True
            control.should_save = True
            control.should_training_stop = True
        return control
