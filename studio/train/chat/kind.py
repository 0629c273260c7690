"""Runs of language models: tuned on conversations, or on preferences between answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.records import RunRecord
from studio.core.telling import size_text
from studio.core.workspace import Workspace
from studio.schema.loading import load_yaml
from studio.train.kinds import Planned, PlanWish, RunKind
from studio.train.opening import Asked, Say, find_rows, named_dataset

if TYPE_CHECKING:
    from studio.schema.adapter import ChatAdapter
    from studio.train.measuring import Measured


class ChatKind(RunKind):
    """Language models."""

    name = "chat"
    title = "Preset"
    about = "`adapters/chat/*.yaml`: one way of tuning. `--set name=value` changes any field."
    suite = "chatbot"
    datasets = ("chat",)
    app = "chat"

    @property
    def schema(self) -> type[ChatAdapter]:
        """See :class:`studio.schema.adapter.ChatAdapter`."""
        from studio.schema.adapter import ChatAdapter

        return ChatAdapter

    def open(self, asked: Asked, workspace: Workspace) -> Path:
        """See :meth:`studio.train.kinds.RunKind.open`."""
        from studio.adapters.chat.start import begun
        from studio.models.bases import resolve_base
        from studio.models.chat.loading import load_tokenizer
        from studio.models.chat.templates import template_of
        from studio.models.device import pick_device, pick_dtype
        from studio.train.chat.objectives.table import objective
        from studio.train.chat.optimizers.table import check_optimizer
        from studio.train.chat.settings import check_trackers, method_name, split_batch
        from studio.train.record import open_run

        adapter = load_yaml(asked.preset, self.schema, asked.overrides)
        named_dataset(adapter.data, workspace)
        workspace.check_writable()
        split_batch(adapter, asked.processes)
        check_trackers(adapter)
        objective(adapter.objective).check(adapter)
        check_optimizer(adapter)
        dataset_folder, dataset = find_rows(
            adapter.data, workspace, kind="chat", rows="conversations", example="chat/construction-faq-en"
        )
        adapter, start = begun(adapter, workspace, model=asked.model)
        base = resolve_base(adapter.model, adapter.revision)
        taken_over = start.template(adapter) if start else None
        asked_for = adapter.chat_template or adapter.template_arguments or adapter.client_arguments
        if asked_for and taken_over is None:
            template_of(load_tokenizer(base), adapter, base.name)  # a slip there is told before there is a run
        settled = objective(adapter.objective).settle(adapter, base, workspace)
        # What was left to the machine is written down, so that a resume or a second run computes as this one did.
        dtype = str(pick_dtype(adapter.dtype, pick_device())).removeprefix("torch.")
        resolved = {"data": f"{dataset.name}/{dataset.fingerprint}", "dtype": dtype, **settled}
        if base.source == "local":  # found again from any folder
            resolved["model"] = str(base.folder)
        if adapter.chat_template and Path(adapter.chat_template).is_file():
            resolved["chat_template"] = str(Path(adapter.chat_template).resolve())
        return open_run(
            adapter.model_copy(update=resolved),
            workspace,
            name=asked.run_name(dataset),
            dataset_folder=dataset_folder,
            dataset=dataset,
            base=base.record(),
            processes=asked.processes,
            method=method_name(adapter),
            start=start.record() if start else None,
        )

    def plan(self, asked: Asked, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:
        """See :func:`studio.train.chat.planning.plan_as_wished`."""
        from studio.adapters.chat.start import begun
        from studio.train.chat.planning import plan_as_wished

        adapter, start = begun(load_yaml(asked.preset, self.schema, asked.overrides), workspace, model=asked.model)
        return plan_as_wished(adapter, wish, workspace, asked.processes, say, start=start)

    def train(self, folder: Path, *, resume: bool, processes: int, accelerate_config: Path | None, say: Say) -> RunRecord:
        """Here, or in the processes that are asked for."""
        if processes > 1 or accelerate_config is not None:
            from studio.train.chat.launch import launch

            return launch(folder, resume=resume, processes=processes, accelerate_config=accelerate_config)
        from studio.train.chat.run import train_run

        return train_run(folder, resume=resume, say=say)

    def loss_unit(self, record: RunRecord) -> str:
        """That of the objective."""
        return str(record.result.get("loss_unit") or "nats per token")

    def measure(self, folder: Path, record: RunRecord, split: str) -> Measured:
        """The validation loss; of a training by rewards, the reward."""
        from studio.train.measuring import Measure, Measured

        reward = record.result.get("validation_reward")
        if reward is None or split != "validation":
            return super().measure(folder, record, split)
        return Measured((Measure("validation_reward", "Validation reward", "", "higher", float(reward)),))

    def figures(self, folder: Path, record: RunRecord) -> Iterator[tuple[str, object]]:  # noqa: ARG002 - all is in the record
        """Where it started, validation and speed."""
        result: dict[str, Any] = record.result
        if record.start:
            yield "started from", f"{record.start['run']}, whose adapter is a part of this one's"
        if result.get("validation_loss") is not None:
            best = f"at step {result['best_step']}, whose weights are kept"
            surprise = result.get("validation_perplexity")
            told = f" (perplexity {surprise:.4g})" if surprise is not None else ""
            yield "validation", f"{result['validation_loss']:.3f}{told} {best}"
        if (accuracy := result.get("validation_accuracy")) is not None:
            share, low, high = accuracy
            yield "right pairs", f"{share:.1%} of the validation pairs (95%: {low:.1%} to {high:.1%})"
        if result.get("final_reward") is not None:
            yield "reward", f"{result['first_reward']:.3f} in the first step, {result['final_reward']:.3f} in the last"
        if result.get("validation_reward") is not None:
            best = f"at step {result['best_step']}, whose weights are kept"
            yield "validation", f"a reward of {result['validation_reward']:.3f} {best}"
        yield "speed", f"{result['tokens_per_second']:.0f} tokens/s, peak {size_text(result['peak_memory_bytes'])}"

    def next_steps(self, folder: Path, record: RunRecord) -> list[str]:
        """Measure it, against the run that it started from where there is one, on documents where it has read some; and talk to
        it in the terminal. A reward model scores the answers of another.
        """
        run = f"{folder.parent.name}/{folder.name}"
        aim = load_yaml(folder / "config.yaml", self.schema).objective
        if aim == "reward":
            return [f"studio eval reward --model {run}", f"studio eval rewarded --model RUN --set tasks.0.reward={run}"]
        baseline = f" --baseline {record.start['run']}" if record.start else ""
        return [f"studio eval {'text' if aim == 'text' else self.suite} --model {run}{baseline}", f"studio chat {run}"]


CHAT = ChatKind()
