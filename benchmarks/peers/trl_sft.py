"""Supervised fine-tuning with TRL alone, as its documentation shows it: the script that the studio is compared with.

    python benchmarks/peers/trl_sft.py --model FOLDER --rows ROWS.jsonl --output FOLDER --steps 32 [--dtype float32]

Without ``--dtype`` everything that is not the task itself is TRL's default. With it, weights and arithmetic have that type and
gradient checkpointing is off, as it is in the studio's preset.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--rows", required=True, help="JSON lines with prompt and completion, both lists of messages")
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--learning-rate", type=float, default=3e-4)
parser.add_argument("--warmup-steps", type=int, default=1)
parser.add_argument("--dtype", choices=["float32", "bfloat16"])
options = parser.parse_args()


class LossFile(TrainerCallback):
    """One line per logged step, as every side of the benchmark leaves it behind."""

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Append the line."""
        if logs and "loss" in logs:
            with (options.output / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": state.global_step, "loss": float(logs["loss"])}) + "\n")


options.output.mkdir(parents=True, exist_ok=True)
forced: dict[str, Any] = {}
if options.dtype:
    forced = {
        "bf16": options.dtype == "bfloat16",
        "model_init_kwargs": {"dtype": options.dtype},
        "gradient_checkpointing": False,
    }

trainer = SFTTrainer(
    model=options.model,
    args=SFTConfig(
        output_dir=str(options.output),
        per_device_train_batch_size=options.batch_size,
        max_steps=options.steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=options.warmup_steps,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=0,
        use_cpu=not torch.cuda.is_available(),  # asked for by name: bfloat16, TRL's default, is refused on a CPU otherwise
        **forced,
    ),
    train_dataset=load_dataset("json", data_files=options.rows, split="train"),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[LossFile()],
)
trainer.train()
trainer.save_model()
