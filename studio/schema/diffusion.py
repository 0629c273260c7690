"""A preset for image models. Each field is documented here once; ``docs/reference.md`` and ``--help`` are made from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.adapter import Fraction, Positive, Schedule
from studio.schema.loading import Settings
from studio.schema.optimizers import ImageOptimizer
from studio.schema.preset import Preset

NonNegative = Annotated[float, Field(ge=0)]
FamilyName = Literal["pixel", "sd15", "sdxl", "sd3", "flux", "unconditional"]


class ImageLoraSettings(Settings):
    """Low-rank adapters on the network that denoises (LoRA, https://arxiv.org/abs/2106.09685), as PEFT names them."""

    rank: Positive = 16
    """Rank r of the two adapter matrices."""
    alpha: Annotated[float, Field(gt=0)] = 16
    """Scale: the update is multiplied by alpha / rank, or alpha / sqrt(rank) with ``rslora``."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input while training."""
    target_modules: Literal["all-linear", "attention"] | list[str] = "attention"
    """Which layers get an adapter: the attention projections, every linear layer, or names as in the network."""
    dora: bool = False
    """Weight-decomposed adapters (https://arxiv.org/abs/2402.09353)."""
    rslora: bool = False
    """Rank-stabilised scaling (https://arxiv.org/abs/2312.03732)."""
    init: Literal["default", "gaussian"] = "default"
    """Start values of the A matrices; B starts at zero, so that the first picture is the base's."""
    text_encoder: bool = False
    """Put adapters on the text encoders too; their output is then not cached."""


class EmaSettings(Settings):
    """An exponential moving average of the trained weights, which is what is sampled, measured and saved."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the average that stays at each step once warmed up."""
    warmup: bool = True
    """Start with a short memory: the decay of step t is at most (1 + t) / (10 + t)."""


class NoiseSettings(Settings):
    """Noise levels and loss. What is left at None is taken from the base."""

    prediction: Literal["auto", "epsilon", "v", "flow"] = "auto"
    """What the network predicts; ``auto`` is what the base was made for, and another choice must be meant."""
    min_snr_gamma: Annotated[float, Field(gt=0)] | None = None
    """Min-SNR weighting (https://arxiv.org/abs/2303.09556); 5 is the paper's."""
    offset: NonNegative = 0.0
    """Noise offset: this much of one extra normal number per picture and channel is added to the noise (brighter and darker
    pictures); the sampled noise stays plain."""
    times: Literal["auto", "uniform", "logit_normal"] = "auto"
    """How the times of a flow are drawn in training."""
    logit_mean: float = 0.0
    """Mean of the logit-normal times; above 0 is noisier."""
    logit_std: Annotated[float, Field(gt=0)] = 1.0
    """Spread of the logit-normal times."""
    shift: Annotated[float, Field(gt=0)] | None = None
    """Shift of a flow's times towards noise, which large pictures need; None is the base's."""


class PixelNetwork(Settings):
    """A small network trained from scratch in pixel space: a transformer on patches and words between two small convolutions."""

    width: Positive = 256
    """Size of a token; a multiple of ``heads`` x 8."""
    depth: Positive = 6
    """Transformer blocks."""
    heads: Positive = 4
    """Attention heads."""
    patch: Positive = 4
    """Side of a patch in pixels; must divide ``resolution``."""
    channels: Annotated[int, Field(ge=8)] = 32
    """Channels of the convolutions at full resolution that join the patches."""
    max_words: Positive = 12
    """Words of a caption that are read; further ones are said and left out."""


class DreamboothSettings(Settings):
    """Teaching a base one thing under a rare word (DreamBooth, https://arxiv.org/abs/2208.12242)."""

    prompt: str | None = None
    """Caption of every training picture, with the rare word: ``a photo of sks dog``; None leaves the pictures their own."""
    class_prompt: str | None = None
    """The same without the rare word: ``a photo of a dog``. The base draws pictures of it before training, and keeping to them
    (prior preservation) keeps the class from turning into the thing. None trains without."""
    class_pictures: Positive = 100
    """How many pictures of the class are drawn; kept for later runs on the same base."""
    weight: NonNegative = 1.0
    """Weight of the loss on the class beside that on the thing."""
    steps: Positive | None = None
    """Sampling steps for the class; None is the family's own number."""
    guidance: Annotated[float, Field(ge=1)] | None = None
    """Guidance for the class; None is the family's own."""
    seed: int = 1_000
    """Seed of the first picture of the class; the next ones count up."""


class InversionSettings(Settings):
    """A new word for something (textual inversion, https://arxiv.org/abs/2208.01618); ``method: inversion``."""

    word: str = "<thing>"
    """The new word, one that the base does not know; prompts use it."""
    start_word: str = "thing"
    """A word the base knows; the new one starts from it."""
    vectors: Positive = 1
    """How many embeddings the word has: more fit better and combine worse."""
    prompt: str | None = "a picture of {word}"
    """Caption of every training picture; ``{word}`` is replaced. None leaves them their own, which must hold the word."""


class SampleSettings(Settings):
    """The grid of samples that is drawn while training, always from the same noise."""

    prompts: list[str] | None = None
    """What to draw; None takes captions of the Dataset, spread over its labels."""
    count: Positive = 16
    """How many pictures; prompts are repeated or cut to this number, each with a seed of its own."""
    seed: int = 0
    """Seed of the first picture; the next ones count up."""
    steps: Positive | None = None
    """Sampling steps; None is the family's own number."""
    guidance: Annotated[float, Field(ge=1)] | None = None
    """Classifier-free guidance; None is the family's own, 1 is none."""


class DiffusionAdapter(Preset):
    """A preset for training or tuning a diffusion model on pictures."""

    kind: Literal["diffusion"]
    """What is tuned."""

    family: FamilyName | Literal["auto"] = "auto"
    """Family of the base; ``auto`` reads it from the base's ``model_index.json``."""
    model: str | None = None
    """Base: a local folder in diffusers' layout, a Hub id, ``ms:owner/name`` on ModelScope, or a run (its id, name or folder).
    None with ``method: scratch``."""
    revision: str | None = None
    """Revision on the Hub (a commit hash is best) or on ModelScope (a branch or tag)."""
    data: str | None = None
    """Default Dataset; ``--data`` on the command line wins."""

    method: Literal["lora", "full", "scratch", "inversion"] = "lora"
    """Train low-rank adapters, every weight of the denoising network, a new network from random start values, or a new word."""
    network: PixelNetwork = PixelNetwork()
    """The network of ``method: scratch``."""
    lora: ImageLoraSettings = ImageLoraSettings()
    """Adapter settings, for ``method: lora``."""
    dreambooth: DreamboothSettings | None = None
    """One thing under a rare word, with pictures that keep its class; for ``method: lora`` and ``full``."""
    inversion: InversionSettings = InversionSettings()
    """The new word of ``method: inversion``."""
    quantization: Literal["none", "nf4", "int8"] = "none"
    """Load the frozen denoising network in 4-bit NormalFloat (QLoRA, https://arxiv.org/abs/2305.14314) or 8-bit."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number type of the arithmetic; trained weights stay float32. ``auto`` takes what is fast on the device."""

    resolution: Positive | None = None
    """Side of the training pictures in pixels; None is the base's own. Rows with a bucket keep their shape at this area."""
    flip: bool = False
    """Mirror every other picture, drawn anew at each step. It lies about text, arrows and hands."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Move pictures by up to this many pixels, drawn anew at each step; the border's colour fills in."""
    caption_dropout: Fraction = 0.1
    """Share of captions left out while training, which guidance needs."""
    noise: NoiseSettings = NoiseSettings()
    """Noise levels, prediction and loss weights."""

    steps: Positive = 1000
    """Optimizer steps."""
    batch_size: Positive = 4
    """Pictures per optimizer step. It decides the result; ``micro_batch_size`` decides only the memory."""
    micro_batch_size: Positive | None = None
    """Pictures per forward pass; None means batch_size. Must divide it."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Peak learning rate."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule after the warm-up."""
    warmup: Fraction = 0.03
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Adam's memory of squared gradients."""
    max_grad_norm: NonNegative = 1.0
    """Gradients are scaled down to this norm; 0 switches clipping off."""
    optimizer: ImageOptimizer = "adamw_torch_fused"
    """Optimizer, by transformers' name."""
    ema: EmaSettings | None = None
    """Average of the trained weights; None saves the weights as they are."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile; ``auto`` uses it on a GPU."""
    cache: Literal["auto", "on", "off"] = "auto"
    """Keep latents and text embeddings on disk, keyed by content and settings; ``auto``: where the base has them."""

    sample: SampleSettings = SampleSettings()
    """Samples drawn while training."""
    sample_every: Positive | None = None
    """Steps between sample grids; None means four in the whole training. The first is drawn before training when tuning."""
    eval_every: Positive | None = None
    """Steps between held-out losses; None means ten in the whole training."""
    early_stopping: Positive | None = None
    """Stop after this many held-out losses without a better one."""
    keep: Literal["best", "last"] = "best"
    """Which weights the run ends with where there is a validation split: those of the best held-out loss, or the last. A model
    that is meant to know a few pictures by heart keeps the last."""
    save_every: Positive | None = None
    """Steps between checkpoints; None means at each held-out loss."""
    keep_checkpoints: Positive = 2
    """How many checkpoints stay on disk, the best one always among them."""
    seed: int = 0
    """Seed of order, noise, times, caption dropout and start values."""

    @model_validator(mode="after")
    def _possible(self) -> DiffusionAdapter:
        """Refuse combinations that cannot work, before anything is loaded."""
        if self.method == "scratch":
            self._possible_scratch()
        if self.dreambooth is not None and self.method not in {"lora", "full"}:
            raise ValueError(f"'dreambooth' tunes a base with 'method: lora' or 'full', not {self.method!r}. Change one of them.")
        if self.method == "inversion" and self.inversion.prompt is not None and "{word}" not in self.inversion.prompt:
            raise ValueError("'inversion.prompt' must hold '{word}', which stands for the new word.")
        if self.method not in {"lora", "inversion"} and self.quantization != "none":
            raise ValueError(f"method {self.method} cannot train quantised weights. Use 'method: lora' or 'quantization: none'.")
        if self.method != "lora" and self.lora.text_encoder:
            raise ValueError("'lora.text_encoder' needs 'method: lora'. Remove it or change the method.")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}. "
                "Pictures per optimizer step must be a whole number of forward passes."
            )
        return self

    def _possible_scratch(self) -> None:
        """What a network from random values needs."""
        if self.family != "pixel":
            raise ValueError("'method: scratch' makes a network of the family 'pixel'. Set 'family: pixel'.")
        if self.model is not None:
            raise ValueError("'method: scratch' starts without a base. Remove 'model', or use 'method: full' to train on.")
        if self.resolution is None:
            raise ValueError("'method: scratch' needs a 'resolution', for example 32.")
        if self.resolution % self.network.patch:
            raise ValueError(
                f"network.patch {self.network.patch} does not divide resolution {self.resolution}. Take 4, for example."
            )
        if self.network.width % (self.network.heads * 2):
            raise ValueError(
                f"network.width {self.network.width} is not a multiple of twice the {self.network.heads} heads. "
                f"Take {self.network.heads * 2 * max(1, self.network.width // (self.network.heads * 2))}."
            )
