"""The parts of a model card that differ for chat models: how to talk to it, which template and tokens it was trained with."""

from __future__ import annotations

from typing import Any

from studio.adapters.card import ModelCard, figure_rows
from studio.core.markdown import markdown_table
from studio.core.records import ReportRecord
from studio.models.starters import STARTERS

# Kinds of task that measure bias or fairness.
_BIAS = {"crows_pairs", "stereoset", "winobias", "winogender", "bbq", "counterfactual", "fairness"}


class ChatCard(ModelCard):
    """The card of a chat model."""

    shown_settings = (
        "epochs", "max_steps", "batch_size", "micro_batch_size", "learning_rate", "schedule", "warmup", "weight_decay",
        "max_grad_norm", "optimizer", "loraplus_ratio", "neftune_alpha", "quantization", "dtype", "max_length", "overlong",
        "train_on", "packing", "objective", "seed",
    )  # fmt: skip
    loss_unit = "Losses are nats per trained token; of preferences and scores, nats per pair or answer."

    def head(self) -> dict[str, Any]:
        """Loaded by transformers, with PEFT for an adapter; corpora of the Hub are named."""
        library = "transformers" if self.record.method == "full" else "peft"
        what = "text-classification" if self.scores else "text-generation"
        head = {"library_name": library, "pipeline_tag": what, **super().head()}
        corpora = [source.location for source in self.dataset.sources if source.kind == "hub"] if self.dataset else []
        return head | ({"datasets": corpora} if corpora else {})

    @property
    def scores(self) -> bool:
        """True of a reward model, which scores answers and writes none."""
        return self.settings.get("objective") == "reward"

    @property
    def from_scratch(self) -> bool:
        """Never: a chat model always has a base."""
        return False

    def method_tags(self) -> list[str]:
        """Tags that say how it was trained."""
        return ["full-tuning"] if self.record.method == "full" else super().method_tags()

    def base_hub_id(self) -> str | None:
        """The base's Hub id, if it has one; a starter has."""
        name = str(self.record.base.get("name"))
        return super().base_hub_id() or (STARTERS[name].hub_id if name in STARTERS else None)

    def made(self) -> str:
        """What came out of what, with the size of a LoRA."""
        lora = self.settings.get("lora") if str(self.settings.get("method", "lora")) == "lora" else None
        size = f" (rank {lora.get('rank')}, alpha {lora.get('alpha')})" if isinstance(lora, dict) else ""
        below = self.record.start
        aim = ", to score answers" if self.scores else ""
        joined = f", on top of the adapter of {below.get('run')}, which it holds too" if below else ""
        return super().made() + size + aim + joined

    def usage(self) -> str:
        """Code that works as pasted in the run's folder, with transformers and PEFT alone unless only the studio has the base."""
        if self.scores:
            return self._scoring()
        folder = "model" if self.record.method == "full" else "adapter"
        full = f'model = AutoModelForCausalLM.from_pretrained("{folder}")'
        code = [
            *(["from peft import PeftModel"] if folder == "adapter" else []),
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            *(self._onto_its_base(folder) if folder == "adapter" else [full]),
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")  # carries the chat template of the training',
            "",
            'messages = [{"role": "user", "content": "Hello! What can you tell me?"}]',
            'chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)',
            "answer = model.generate(**chat, max_new_tokens=200, do_sample=False)",
            'print(tokenizer.decode(answer[0, chat["input_ids"].shape[1] :], skip_special_tokens=True))',
        ]
        return "## Use\n\nIn this folder:\n\n```python\n" + "\n".join(code) + "\n```"

    def _scoring(self) -> str:
        """Code that scores an answer, for a reward model."""
        full = self.record.method == "full"
        before, place = ([], '"model"') if full else self.base_code()
        folder = "model" if full else "adapter"
        code = [
            *([] if full else ["from peft import PeftModel"]),
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "",
            *before,
            f"model = AutoModelForSequenceClassification.from_pretrained({place}, num_labels=1)",
            *([] if full else ['model = PeftModel.from_pretrained(model, "adapter")']),
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")  # carries the chat template of the training',
            "model.config.pad_token_id = tokenizer.pad_token_id",
            "",
            'messages = [{"role": "user", "content": "How wide is it?"}, {"role": "assistant", "content": "80 centimetres."}]',
            'chat = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)',
            "print(float(model(**chat).logits))  # only differences between answers mean something",
        ]
        return "## Use\n\nIn this folder:\n\n```python\n" + "\n".join(code) + "\n```"

    def _onto_its_base(self, adapter: str) -> list[str]:
        """Code that loads the base and the adapter onto it."""
        before, place = self.base_code()
        return [
            *before,
            f"base = AutoModelForCausalLM.from_pretrained({place})",
            f'model = PeftModel.from_pretrained(base, "{adapter}")',
        ]

    def origin(self) -> list[str]:
        """Lines on the weights, the run and the chat template it started from."""
        template = self.record.template
        named = f"Chat template: `{template.get('name')}`, sha256 `{template.get('sha256')}`."
        start = self.record.start
        below = (
            f"Started from the adapter of the run {start.get('run')} (rank {start.get('rank')}, sha256 `{start.get('sha256')}`)."
        )
        teacher = (self.settings.get("distill") or {}).get("teacher")
        taught = [f"It follows a teacher: `{teacher}`."] if teacher and self.settings.get("objective") == "distill" else []
        return super().origin() + ([below] if start else []) + ([named] if template else []) + taught

    def training(self) -> str:
        """Settings and figures, and which tokens carried loss."""
        rows = figure_rows(self.record.mask_report)
        mask = "\n".join(["## What was trained on", "", *markdown_table(["mask report", "value"], rows)])
        return super().training() + (f"\n\n{mask}" if rows else "")

    def unknown(self, reports: list[ReportRecord]) -> str:
        """Truth always; bias and toxicity unless a report measured them."""
        kinds = {task.type for report in reports for task in report.tasks if not task.reason}
        unknown = ["truth of its answers", *([] if kinds & _BIAS else ["bias"]), *([] if "safety" in kinds else ["toxicity"])]
        return f"{', '.join(unknown)}, other domains and languages"
