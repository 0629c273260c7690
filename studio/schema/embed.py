"""Presets of what finds texts: embeddings, whose vectors are compared, and rerankers, which read a question with a passage.

Each field is documented once, here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings
from studio.schema.preset import Preset

Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
ANSWER = "answer"
"""What ``passage`` says for the answer itself."""


class EncoderLora(Settings):
    """Low-rank adapters on every linear layer of an encoder."""

    rank: Positive = 16
    """Rank of the adapters."""
    alpha: Positive = 32
    """Their weight is alpha over rank."""


class RetrievalPreset(Preset):
    """What embeddings and rerankers share."""

    model: str | None = None
    """Encoder to start from: the starter ``minilm-l6``, a local folder, or a Hub id."""
    revision: str | None = None
    """Revision of the base on a hub; None takes the newest."""
    data: str | None = None
    """Default Dataset: conversations, preferences or thumbs."""
    passage: Annotated[str, Field(min_length=1)] = ANSWER
    """What answers a question: ``answer``, or a column of the rows, as ``quote`` of questions written from documents."""
    tune: Literal["all", "lora"] = "all"
    """Train every weight, or low-rank adapters, which are merged into the encoder at the end."""
    lora: EncoderLora = EncoderLora()
    """The adapters of ``tune: lora``."""
    max_length: Positive = 256
    """Tokens that are read of a text (of a question with its passage in a reranker); the rest is cut on the right and counted."""
    epochs: Positive = 3
    """Passes over the training rows at most."""
    max_steps: Positive | None = None
    """Optimizer steps at most; None leaves it to the epochs."""
    batch_size: Positive = 32
    """Rows of an optimizer step."""
    micro_batch_size: Positive | None = None
    """Texts that go through the model at once; None takes the whole batch. It changes memory and time, not the result as long as
    ``dropout`` is 0."""
    learning_rate: Above0 = 5e-5
    """Size of the largest steps (AdamW). Adapters bear ten times as much."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How the learning rate falls after its rise."""
    warmup: Share = 0.1
    """Share of the steps in which it rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay (AdamW); biases and norms are left out."""
    max_grad_norm: Above0 = 1.0
    """Largest norm of the gradient."""
    dropout: Share = 0.0
    """Share of the encoder's activations that are set to 0 while training. With 0 the result does not depend on
    ``micro_batch_size``."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the arithmetic; weights stay float32."""
    early_stopping: Positive | None = 2
    """Epochs without a smaller validation loss before it stops; None trains all epochs. The best weights are kept in any case."""
    save_every: Positive | None = None
    """Optimizer steps between checkpoints; None saves after each epoch and on a signal."""
    seed: int = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _micro_batch_fits(self) -> RetrievalPreset:
        """More than the batch holds would be a surprise."""
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size: {self.micro_batch_size} is more than the {self.batch_size} rows of batch_size. "
                f"Set one of 1 to {self.batch_size}, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _adapters_are_asked_for(self) -> RetrievalPreset:
        """Settings of adapters that are not there."""
        if self.tune == "all" and self.lora != EncoderLora():
            raise ValueError("lora sets adapters, and tune: all has none. Set tune: lora")
        return self


class EmbeddingPreset(RetrievalPreset):
    """An encoder that gives a text a vector, so that a question's is near to those of the passages that answer it."""

    kind: Literal["embedding"]
    """What is trained."""
    model: str | None = "minilm-l6"
    """Encoder to start from: the starter ``minilm-l6``, a local folder, or a Hub id. A folder of sentence-transformers keeps its
    pooling."""
    loss: Literal["ranking", "triplet"] = "ranking"
    """``ranking`` tells a question's passage from all others of the batch, disliked answers among them
    (MultipleNegativesRankingLoss, https://arxiv.org/abs/1705.00652; with ``micro_batch_size`` its gradients are cached,
    https://arxiv.org/abs/2101.06983). ``triplet`` keeps the passage nearer than the question's disliked answer by a margin."""
    scale: Above0 | None = None
    """With ``ranking``: cosines are multiplied by this (1 / temperature); None is 20."""
    margin: Above0 | None = None
    """With ``triplet``: how much nearer, in cosines; None is 0.2."""
    negatives: Literal["use", "ignore", "require"] = "use"
    """Disliked answers of preferences and thumbs: set against their question where there are some, left out, or needed in each
    row."""
    matryoshka: list[Positive] = []
    """Lengths at which vectors are to serve when they are cut, as ``[384, 192, 96]``; the loss is summed over them
    (https://arxiv.org/abs/2205.13147). Empty trains the whole length only."""
    pooling: Literal["mean", "cls"] = "mean"
    """How tokens become one vector, for encoders that do not say so themselves."""
    query_prompt: str = ""
    """Text before each question, for bases that were trained with one (``query: `` of E5)."""
    passage_prompt: str = ""
    """Text before each passage (``passage: `` of E5)."""

    @model_validator(mode="after")
    def _loss_has_what_it_needs(self) -> EmbeddingPreset:
        """A triplet has three texts."""
        if self.loss == "triplet" and self.negatives != "require":
            raise ValueError(
                f"loss: triplet needs a disliked answer in each row, and negatives is {self.negatives!r}. Set negatives: require"
            )
        if self.loss == "triplet" and self.micro_batch_size is not None:
            raise ValueError("micro_batch_size caches gradients of loss: ranking; triplets go through in one batch. Leave it out")
        if self.loss == "triplet" and self.scale is not None:
            raise ValueError("scale belongs to loss: ranking, and triplets have a margin. Leave it out")
        if self.loss == "ranking" and self.margin is not None:
            raise ValueError("margin belongs to loss: triplet, and ranking has a scale. Leave it out")
        if self.loss == "ranking" and self.batch_size < 2:
            raise ValueError("batch_size: 1 leaves a question no other passage to be told from. Set 2 or more")
        if len(set(self.matryoshka)) != len(self.matryoshka):
            raise ValueError(f"matryoshka: {self.matryoshka} names a length twice. Name each once")
        return self


class RerankerPreset(RetrievalPreset):
    """A cross-encoder: it reads a question and a passage together and says how well they fit (https://arxiv.org/abs/1910.14424)."""

    kind: Literal["reranker"]
    """What is trained."""
    model: str | None = "minilm-l6"
    """Encoder to start from: the starter ``minilm-l6``, a local folder, or a Hub id. A base without a head of one label gets a
    new one."""
    negatives: Positive = 4
    """Passages of other questions that each right one is set against, drawn anew in each epoch; disliked answers come on top."""


AnyRetrievalPreset = EmbeddingPreset | RerankerPreset
"""A preset of either kind."""
