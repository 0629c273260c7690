"""A preset: one way of tuning. Each field is documented here once; ``docs/reference.md`` and ``--help`` are made from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings
from studio.schema.methods import LohaSettings, LokrSettings, Method, OftSettings, VeraSettings, refuse_method
from studio.schema.optimizers import ChatOptimizer, ProjectionSettings, refuse_optimizer
from studio.schema.preset import Preset

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]

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


class PreferenceSettings(Settings):
    """How preferences become a loss, for ``objective: dpo`` and ``kto``."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How closely the tuned model is held to the one it started from; larger is closer. 0.1 is the papers' value."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """DPO only: this much of the chosen answer's own loss (nats per token) is added, which keeps it from becoming unlikely
    together with the rejected one (RPO, https://arxiv.org/abs/2404.19733)."""
    desirable_weight: Annotated[float, Field(gt=0)] | None = None
    """KTO only: weight of answers that were liked; None balances liked and disliked rows to the same total weight."""
    undesirable_weight: Annotated[float, Field(gt=0)] | None = None
    """KTO only: weight of answers that were disliked; None is 1."""


class ChatAdapter(Preset):
    """A preset for tuning a language model on conversations."""

    kind: Literal["chat"]
    """What is tuned."""

    model: str = "smollm2-135m-instruct"
    """Base model: a starter name, a Hub id, ``ms:owner/name`` on ModelScope, or a local folder of safetensors."""
    revision: str | None = None
    """Revision on the Hub (a commit hash is best) or on ModelScope (a branch or tag)."""
    data: str | None = None
    """Default Dataset; ``--data`` on the command line wins."""

    objective: Literal["sft", "dpo", "kto"] = "sft"
    """What is learnt: the answers themselves, to prefer the chosen over the rejected answer of a pair (DPO,
    https://arxiv.org/abs/2305.18290), or liked over disliked answers that come without a partner (KTO,
    https://arxiv.org/abs/2402.01306)."""
    preference: PreferenceSettings = PreferenceSettings()
    """Settings of ``objective: dpo`` and ``kto``."""
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
    """Which tokens carry loss: every assistant turn with its end token, the last one only, or everything."""
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
        if self.objective != "sft" and self.packing:
            raise ValueError(
                f"'packing' cannot be used with 'objective: {self.objective}', which compares whole rows. Remove it."
            )
        if self.objective != "sft" and self.train_on != "assistant":
            raise ValueError(
                f"'train_on' has no meaning with 'objective: {self.objective}': the answers carry the loss. Remove it."
            )
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}. "
                "Rows per optimizer step must be a whole number of forward passes."
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
