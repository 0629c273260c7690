"""A preset: one way of tuning. Each field is documented here once; ``docs/reference.md`` and ``--help`` are made from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.grpo import GrpoSettings, VllmSettings
from studio.schema.loading import Settings
from studio.schema.methods import LohaSettings, LokrSettings, Method, OftSettings, VeraSettings, refuse_method
from studio.schema.optimizers import ChatOptimizer, ProjectionSettings, refuse_optimizer
from studio.schema.preference import PreferenceSettings
from studio.schema.preset import Preset
from studio.schema.teaching import DistillSettings, RewardSettings

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]

_READING = frozenset({"sft", "text", "distill"})
"""Objectives with a loss of every token by itself, so that rows can be packed and any of their tokens chosen."""

Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt", "cosine_with_min_lr"]
Tracker = Literal["tensorboard", "trackio", "wandb", "mlflow"]


class LoraSettings(Settings):
    """Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) and their variants, as PEFT names them."""

    rank: Positive = 16
    """Rank r of the two adapter matrices. Stock vLLM loads 1 to 512; the server's ``--max-lora-rank`` must cover it."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale: the update is multiplied by alpha / rank, or alpha / sqrt(rank) with ``rslora``."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input while training."""
    target_modules: Literal["all-linear", "attention"] | list[str] = "all-linear"
    """Which layers get an adapter: every linear layer but the head, the attention projections, or names as in the model."""
    rslora: bool = False
    """Rank-stabilised scaling (https://arxiv.org/abs/2312.03732)."""
    dora: bool = False
    """Weight-decomposed adapters (https://arxiv.org/abs/2402.09353). Stock vLLM refuses them: export merged."""
    init: Literal["default", "gaussian", "pissa", "pissa_niter_16", "corda", "eva"] = "default"
    """Start values. ``pissa`` takes the principal singular vectors of the base (https://arxiv.org/abs/2404.02948), ``corda``
    those of the base as the training rows use it (https://arxiv.org/abs/2406.05223); both are saved converted to a plain LoRA of
    twice the rank, so that PEFT and vLLM load it on the untouched base. ``eva`` takes the principal directions of what the layers
    see of the training rows (https://arxiv.org/abs/2410.07170)."""
    init_rows: Positive = 128
    """Training rows that ``corda`` and ``eva`` look at, picked by the seed."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases train. Stock vLLM loads only ``none``."""
    modules_to_save: list[str] = []
    """Layers trained whole and saved beside the adapter. Stock vLLM refuses them."""

    @property
    def moves_base(self) -> bool:
        """True where the start values are taken out of the base, which without the adapter is another model then."""
        return self.init.startswith("pissa") or self.init == "corda"


class ChatAdapter(Preset):
    """A preset for tuning a language model on conversations."""

    kind: Literal["chat"]
    """What is tuned."""

    model: str = "smollm2-135m-instruct"
    """Base model: a starter name, a Hub id, ``ms:owner/name`` on ModelScope, or a local folder of safetensors."""
    revision: str | None = None
    """Revision on the Hub (a commit hash is best) or on ModelScope (a branch or tag)."""
    start: str | None = None
    """A finished LoRA run to train on without a merged copy; ``--model RUN`` sets it. Its adapter stays frozen, is what
    preferences are held against, and becomes one plain adapter with the new one; base and chat template are that run's."""
    data: str | None = None
    """Default Dataset; ``--data`` on the command line wins."""

    objective: Literal["sft", "text", "dpo", "kto", "ipo", "orpo", "simpo", "cpo", "grpo", "distill", "reward"] = "sft"
    """What is learnt: the answers themselves, raw text (``text``, continued pre-training; conversations may stand beside it and
    keep their mask), to prefer the chosen over the rejected answer of a pair (``dpo``,
    https://arxiv.org/abs/2305.18290; ``ipo``, https://arxiv.org/abs/2310.12036; without a reference ``orpo``,
    https://arxiv.org/abs/2403.07691, ``simpo``, https://arxiv.org/abs/2405.14734, and ``cpo``,
    https://arxiv.org/abs/2401.08417), liked over disliked answers that come without a partner (``kto``,
    https://arxiv.org/abs/2402.01306), to answer so that rewards which can be checked are high (``grpo``,
    https://arxiv.org/abs/2402.03300), what a teacher model says of the answers (``distill``,
    https://arxiv.org/abs/1503.02531), or to score answers, from pairs (``reward``, a reward model:
    https://arxiv.org/abs/2203.02155)."""
    preference: PreferenceSettings = PreferenceSettings()
    """Settings of the objectives that learn from preferences."""
    grpo: GrpoSettings = GrpoSettings()
    """Settings of ``objective: grpo``."""
    distill: DistillSettings = DistillSettings()
    """Settings of ``objective: distill``."""
    reward: RewardSettings = RewardSettings()
    """Settings of ``objective: reward``."""
    method: Method = "lora"
    """Train low-rank adapters, every weight, or an adapter of another form; each form has its own block of settings."""
    quantization: Literal["none", "nf4", "int8"] = "none"
    """Load the frozen base in 4-bit NormalFloat with double quantisation (QLoRA, https://arxiv.org/abs/2305.14314) or 8-bit."""
    lora: LoraSettings = LoraSettings()
    """Adapter settings, for ``method: lora``."""
    oft: OftSettings = OftSettings()
    """Adapter settings, for ``method: oft``."""
    loha: LohaSettings = LohaSettings()
    """Adapter settings, for ``method: loha``."""
    lokr: LokrSettings = LokrSettings()
    """Adapter settings, for ``method: lokr``."""
    vera: VeraSettings = VeraSettings()
    """Adapter settings, for ``method: vera``."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number type of weights and arithmetic. ``auto`` takes bfloat16 on GPUs that have it, float16 with loss scaling on older
    ones (T4, V100, RTX 20) and Apple's, and on CPUs bfloat16 where the processor has instructions for it, else float32."""
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    """Attention implementation; ``auto`` takes what transformers picks for the device."""

    chat_template: str | None = None
    """None uses the tokenizer's own template; or a name (``chatml``, ``plain``), or the path of a Jinja file. One that asks for
    the date is given that of the run's opening, for good."""
    system: Literal["keep", "merge"] = "keep"
    """A system turn is given to the template as it is, or put before the text of the first user turn, for templates that know
    none (Gemma 2). Written into the run's template, so that chat, evaluation and serving do the same."""
    thinking: Literal["keep", "mask", "drop"] = "keep"
    """Thoughts in answers (``reasoning_content``, or ``<think>`` before the text): they train as part of the answer, they stand
    in the context without loss, or they are taken out of every turn before the template sees it."""
    template_arguments: dict[str, bool | int | Number | str] = {}
    """Arguments of the chat template, as it names them (``enable_thinking: false``, ``reasoning_effort: low``). Written into the
    run's template, so that training, chat, evaluation, serving and exports start from the same."""
    client_arguments: list[str] = []
    """Arguments of the chat template that a client of the served model may set for each request; none by default."""
    train_on: Literal["assistant", "last_assistant", "all"] = "assistant"
    """Which tokens carry loss: every assistant turn with its end token, the last one only, or everything. Of preferences the
    answers; with ``objective: orpo`` and ``all`` the chosen answer's own loss is over its prompt too, as its authors run it."""
    max_length: Positive = 1024
    """Longest row in tokens."""
    overlong: Literal["cut", "drop", "refuse"] = "cut"
    """A row longer than ``max_length`` is cut on the right, left out, or stops the run; the mask report counts it."""
    refused: Literal["refuse", "drop"] = "refuse"
    """A row that the chat template refuses (or fails on, or whose answer it does not write) stops the run, or is left out and
    named."""
    packing: bool = False
    """Put several rows into one sequence of ``max_length``. Isolation of the rows is proven on the real model before the
    first step, and training is refused where it does not hold."""
    length_sorting: bool = True
    """Form batches of rows of similar length (order of batches stays random), which saves padding."""

    epochs: Annotated[float, Field(gt=0)] = 1
    """Passes over the training split."""
    max_steps: Positive | None = None
    """Stop after this many optimizer steps, whatever ``epochs`` says."""
    batch_size: Positive = 8
    """Rows per optimizer step, over all processes. It decides the result; ``micro_batch_size`` decides only the memory."""
    micro_batch_size: Positive | None = None
    """Rows per forward pass and process; None means batch_size / processes. Must divide it."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule after the warm-up."""
    warmup: Fraction = 0.03
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradients are scaled down to this norm; 0 switches clipping off."""
    optimizer: ChatOptimizer = "adamw_torch_fused"
    """Optimizer, by transformers' name; ``muon`` (PyTorch's, with AdamW on what is no hidden matrix), ``prodigy`` and
    ``apollo_mini`` by their own. ``schedule_free_adamw``, ``prodigy`` and ``stable_adamw`` need the extra ``optimizers``."""
    projection: ProjectionSettings = ProjectionSettings()
    """Settings of ``galore_adamw``, ``apollo_adamw`` and ``apollo_mini``."""
    loraplus_ratio: Annotated[float, Field(ge=1)] | None = None
    """LoRA+ (https://arxiv.org/abs/2402.12354): the B matrices learn this many times faster than ``learning_rate``."""
    neftune_alpha: Annotated[float, Field(gt=0)] | None = None
    """NEFTune noise on the embeddings while training (https://arxiv.org/abs/2310.05914)."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    liger: Literal["auto", "on", "off"] = "auto"
    """Liger kernels; ``auto`` uses them on a GPU when the package is installed."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; ``auto`` uses it on a GPU for packed rows, where shapes do not change."""

    eval_every: Positive | None = None
    """Steps between validation losses; None means four times an epoch."""
    early_stopping: Positive | None = None
    """Stop after this many validations without a better loss; None never stops early. The best checkpoint is kept anyway."""
    save_every: Positive | None = None
    """Steps between checkpoints; None means at each validation. With validation rows it must be a multiple of ``eval_every``."""
    keep_checkpoints: Positive = 2
    """How many checkpoints stay on disk, the best one always among them."""
    seed: int = 0
    """Seed of order, dropout and adapter start values."""
    report_to: list[Tracker] = []
    """Experiment trackers to log to, beside ``metrics.jsonl``."""

    @model_validator(mode="after")
    def _possible(self) -> ChatAdapter:
        """Refuse combinations that cannot work, before anything is loaded."""
        others = {"oft": self.oft, "loha": self.loha, "lokr": self.lokr, "vera": self.vera}
        refuse_method(self.method, others, quantization=self.quantization, loraplus=self.loraplus_ratio is not None)
        if self.method in others and self.lora != LoraSettings():
            raise ValueError(f"'lora' has no meaning with 'method: {self.method}'. Remove it, or use 'method: lora'.")
        if self.quantization != "none" and self.lora.moves_base:
            raise ValueError(
                f"'lora.init: {self.lora.init}' splits the base's weights and cannot be used on a quantised base. Use 'default'."
            )
        if self.lora.dora and self.lora.moves_base:
            raise ValueError(
                f"'lora.dora' and 'lora.init: {self.lora.init}' cannot be converted to a plain LoRA together. Choose one."
            )
        if self.objective not in _READING and self.packing:
            raise ValueError(
                f"'packing' cannot be used with 'objective: {self.objective}', which compares whole rows. Remove it."
            )
        self.preference.refuse_unread(self.objective)
        trainable = {"assistant", *(["all"] if self.objective == "orpo" else [])}
        if self.objective not in _READING and self.train_on not in trainable:
            raise ValueError(
                f"'train_on' has no meaning with 'objective: {self.objective}': the answers carry the loss. Remove it."
            )
        self._possible_on_a_run()
        self._refuse_grpo()
        self._taught()
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            fits = next(size for size in range(self.micro_batch_size, 0, -1) if self.batch_size % size == 0)
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}. "
                f"Rows per optimizer step must be a whole number of forward passes: set micro_batch_size={fits} too."
            )
        refuse_optimizer(
            self.optimizer,
            self.projection,
            full=self.method == "full",
            schedule=self.schedule,
            learning_rate=self.learning_rate,
            loraplus=self.loraplus_ratio is not None,
        )
        if self.save_every and self.eval_every and self.save_every % self.eval_every:
            raise ValueError(f"save_every {self.save_every} is not a multiple of eval_every {self.eval_every}.")
        return self

    def _possible_on_a_run(self) -> None:
        """Refuse what cannot become one plain adapter with that of the run it starts from."""
        if self.start is None:
            return
        if self.method != "lora":
            raise ValueError(
                f"'method: {self.method}' cannot go on with the adapter of a run. Merge it (studio export RUN --to merged) and "
                "give the merged folder as the model, or use 'method: lora'."
            )
        if self.objective == "reward":
            raise ValueError(
                "'objective: reward' puts a score in place of the output layer and cannot go on with the adapter of a run. Merge "
                "it (studio export RUN --to merged) and give the merged folder as the model."
            )
        lora = self.lora
        more = {
            "lora.dora": lora.dora,
            f"lora.init: {lora.init}": lora.moves_base or lora.init == "eva",
            "lora.bias": lora.bias != "none",
            "lora.modules_to_save": bool(lora.modules_to_save),
        }
        for name, asked in more.items():
            if asked:
                raise ValueError(
                    f"'{name}' cannot be used on top of a run's adapter, with which the new one is saved as one plain LoRA. "
                    "Remove it, or merge the run first (studio export RUN --to merged) and give the merged folder as the model."
                )

    def _refuse_grpo(self) -> None:
        """Refuse what cannot work with ``objective: grpo``, or means nothing without it.

        Raises:
            ValueError: says what.
        """
        own = self.grpo
        if self.objective != "grpo":
            if own != GrpoSettings():
                raise ValueError(f"'grpo' has no meaning with 'objective: {self.objective}'. Remove it or set 'objective: grpo'.")
            return
        if own.writer != "vllm" and own.vllm != VllmSettings():
            raise ValueError("'grpo.vllm' has no meaning with 'grpo.writer: transformers'. Remove it or set 'writer: vllm'.")
        if own.writer == "vllm" and own.rollout_batch_size is not None:
            raise ValueError("'grpo.rollout_batch_size' has no meaning with 'grpo.writer: vllm', which fills its own. Remove it.")
        if not own.rewards:
            raise ValueError("'grpo.rewards' is empty. Give at least one, for example 'rewards: [{reward: number}]'.")
        if not any(one.weight for one in own.rewards):
            raise ValueError(
                "every reward has 'weight: 0', which only writes it down, so nothing can be learnt. Give one a weight."
            )
        if self.batch_size % own.group_size:
            raise ValueError(
                f"grpo.group_size {own.group_size} does not divide batch_size {self.batch_size}, which counts answers: a step "
                f"holds whole groups. Set batch_size to a multiple of {own.group_size}."
            )
        if own.max_new_tokens >= self.max_length:
            raise ValueError(
                f"grpo.max_new_tokens {own.max_new_tokens} leaves no room for a prompt in max_length {self.max_length}. "
                "Lower the first or raise the second."
            )
        if self.lora.init == "eva":
            raise ValueError(
                "'lora.init: eva' looks at tokens that carry loss, and with 'objective: grpo' there are none before answers are "
                "written. Use another."
            )
        if self.thinking == "mask":
            raise ValueError(
                "'thinking: mask' has no meaning with 'objective: grpo', which trains all that is written. Remove it."
            )
        moved = self.method == "full" or self.lora.moves_base or self.lora.bias != "none"
        if own.beta and moved:
            raise ValueError(
                "'grpo.beta' compares with the model as it started, which is the base with its adapter switched off: it needs "
                "an adapter, with 'lora.bias: none' and another 'lora.init' than pissa or corda. Set 'beta: 0' or change these."
            )

    def _taught(self) -> None:
        """Refuse what has no meaning with, or without, a teacher or a score.

        Raises:
            ValueError: names the setting.
        """
        for name, default in (("distill", DistillSettings()), ("reward", RewardSettings())):
            if self.objective != name and getattr(self, name) != default:
                raise ValueError(f"'{name}' has no meaning with 'objective: {self.objective}'. Remove it.")
        if self.distill.on_policy and self.packing:
            raise ValueError(
                "'distill.on_policy' cannot be used with 'packing': the student's answers change length. Remove one."
            )
        if self.distill.on_policy and self.train_on == "all":
            raise ValueError(
                "'distill.on_policy' needs answers to write anew, and 'train_on: all' knows none. Change one of them."
            )
        if self.objective == "reward" and self.lora.moves_base:
            raise ValueError(f"'lora.init: {self.lora.init}' changes the base under the score. Use 'default'.")
