"""The tasks a suite is made of: what each measures, on what, with which settings. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from studio.core.errors import nearest
from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


def _number_as_text(value: object) -> object:
    """A label 1 as the text ``1``: tables hold labels as text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Label = Annotated[Text, BeforeValidator(_number_as_text)]


class SuiteData(Settings):
    """The rows that are asked."""

    dataset: str | None = None
    """Dataset name, path or fingerprint; None takes the one the run was trained on."""
    split: Literal["test", "validation", "train"] = "test"
    """Split of that dataset. Rows the run was trained on are refused unless ``training_rows`` says otherwise."""
    training_rows: Literal["refuse", "drop", "keep"] = "refuse"
    """What happens when a row was trained on (same id or same conversation): stop, leave it out and count it, or keep it and
    say so loudly."""


class GenerationSettings(Settings):
    """How answers are written. The default is greedy: the same answers every time."""

    max_new_tokens: Positive = 128
    """Longest answer in tokens; a longer one is cut and counted as truncated."""
    batch_size: Positive = 32
    """Answers written side by side. It changes speed and memory; in float32 not the answers, in bfloat16 by rounding only."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy; above 0 the next token is drawn, flatter with higher values."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """When drawing: keep the most likely tokens that together have this probability."""
    top_k: Count = 0
    """When drawing: keep this many of the most likely tokens; 0 keeps all."""


class LikelihoodSettings(Settings):
    """How the reference answers are scored."""

    batch_size: Positive = 16
    """Rows per forward pass. It changes speed and memory; in float32 not the scores, in bfloat16 by rounding only."""
    max_length: Positive | None = None
    """Longer conversations are cut on the right at this many tokens and counted; None means the model's context."""


class TaskSettings(Settings):
    """What every task has."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the task in the report and before its metrics (``name.metric``); None takes the type."""
    limit: Positive | None = None
    """Ask only this many rows, drawn with the suite's seed; None takes the suite's limit. Of a task with several kinds of rows
    (harmful and harmless prompts, texts that are answered and scored) each kind gets its share."""
    generation: GenerationSettings | None = None
    """How answers are written; None takes the suite's."""
    likelihood: LikelihoodSettings | None = None
    """How texts are scored; None takes the suite's."""
    examples_shown: Count = 5
    """Examples of each kind on the page."""

    @property
    def key(self) -> str:
        """Name of the task, or its type where it has no name of its own."""
        return self.name or str(getattr(self, "type", ""))

    def metric_names(self) -> list[str] | None:
        """Metrics that this task computes, for thresholds; None when they are known only once it ran."""
        return None


class ConversationTask(TaskSettings):
    """Held-out conversations of a Dataset: answers against references, and likelihood of the references."""

    type: Literal["conversation"] = "conversation"
    """Kind of task."""
    data: SuiteData = SuiteData()
    """The rows that are asked."""
    metrics: Annotated[list[str], Field(min_length=1)]
    """Registry keys of metrics, in the order of the report."""
    compare_by: str | None = None
    """The metric that picks the most improved and most worsened examples; None takes the first suitable of this task."""
    embedding_model: str | None = None
    """For ``semantic_similarity``: folder or Hub id of a sentence-embedding model of transformers."""
    slices: list[Text] = []
    """Columns of the rows (of their ``meta``); every metric is shown for each of their values too."""
    cluster: Text | None = None
    """Column of the rows that tells which belong together (one person, one document, paraphrases of one question): they are not
    independent, and intervals and tests count each group once."""

    @field_validator("metrics")
    @classmethod
    def _no_repeats(cls, metrics: list[str]) -> list[str]:
        """A metric named twice would be reported twice."""
        return without_repeats(metrics)

    @model_validator(mode="after")
    def _compare_by_metric_of_this_task(self) -> ConversationTask:
        """Examples can only be ranked by something that is computed."""
        check_compare_by(self.compare_by, self.metrics, "task")
        return self

    def metric_names(self) -> list[str]:
        """The metrics that were asked for."""
        return list(self.metrics)


class ToolCallsTask(TaskSettings):
    """Held-out conversations of a Dataset that offer tools: what the model calls against what the row calls."""

    type: Literal["tool_calls"]
    """Kind of task."""
    data: SuiteData = SuiteData()
    """The rows that are asked; those without ``tools`` are left out and counted."""
    ask: Literal["last", "first_call"] = "last"
    """Which turn of a row is asked for: the last of the assistant, or the first that calls a tool (the last where none does)."""

    def metric_names(self) -> list[str]:
        """All shares of rows; right tool and right arguments of each tool stand beside them as groups."""
        return ["right", "valid_json", "known_tool", "right_tool", "right_arguments", "no_call"]


class PredictionFile(Settings):
    """A table of predictions that were made elsewhere."""

    file: Text
    """A .csv or .parquet file; a relative path is looked for from the current folder."""
    label: Text = "label"
    """Column of what is true."""
    prediction: Text = "prediction"
    """Column of what was predicted."""
    holds: Literal["labels", "answers"] = "labels"
    """What that column holds: ``labels`` (or numbers) and nothing else in a cell, or free ``answers`` of a language model, from
    which the label or number is read."""
    base_prediction: str | None = None
    """Column of what the baseline predicted; None compares with nothing."""
    id: str | None = None
    """Column that names the example; None numbers them."""
    score: str | None = None
    """Column of the probability, 0 to 1, that an example has the label ``positive`` of the task."""
    base_score: str | None = None
    """The same of the baseline."""
    cluster: str | None = None
    """Column that tells which examples belong together and are not independent; intervals and tests count each group once."""


class LabelledTask(TaskSettings):
    """What classification, regression and fairness share: where labels and predictions come from."""

    predictions: PredictionFile | None = None
    """Predictions made elsewhere; with them no model is asked."""
    data: SuiteData = SuiteData()
    """Rows to be labelled by the model, where no predictions are given."""
    label_column: str | None = None
    """Column of the rows that holds the truth; None takes the reference answer, or the column that a classifier or regressor
    predicts."""
    prompt: str | None = None
    """What a language model is asked instead of the row's own question. ``{question}`` stands for that question, ``{labels}`` for
    the labels."""

    @model_validator(mode="after")
    def _scores_of_labels(self) -> LabelledTask:
        """Probabilities are measured by one task; another would leave them out without a word."""
        if not isinstance(self, ClassificationTask):
            for name in ("score", "base_score"):
                if self.predictions is not None and getattr(self.predictions, name) is not None:
                    raise ValueError(
                        f"predictions.{name} is measured by tasks of type classification only. Leave it out, or add such a task."
                    )
        return self


class ExplainedTask(LabelledTask):
    """What classification and regression share: figures for parts of the rows, and what predictions rest on."""

    slices: list[Text] = []
    """Columns of the rows; the main figures are shown for each of their values too. Numbers are cut at their quartiles."""
    explained: Count = 60
    """Of a classifier or regressor: so many rows are explained, to show what its predictions rest on and to check that this is
    so; 0 leaves explanations out."""


class ClassificationTask(ExplainedTask):
    """Labels that the model writes (or that were predicted elsewhere) against the true ones."""

    type: Literal["classification"]
    """Kind of task."""
    labels: list[Label] | None = None
    """The labels there are; None takes those that occur as truth."""
    by: Literal["answer", "likelihood"] = "answer"
    """Of language models: ``answer`` reads the label off what is written; ``likelihood`` takes the label found most likely.
    A classifier gives labels and probabilities by itself."""
    max_labels: Positive = 50
    """Truth with more different values than this is taken for free text, and the task is not computed; not so for a
    classifier."""
    positive: Label | None = None
    """The label whose probability ``predictions.score`` holds; all others are negative. With ``by: likelihood`` None measures the
    probabilities of all labels: each against the rest, and the calibration of the most likely one. Of a classifier of two labels
    None takes the rarer one."""

    @model_validator(mode="after")
    def _score_of_a_label(self) -> ClassificationTask:
        """A probability of an unknown label says nothing."""
        given = self.predictions
        if given is None:
            return self
        if given.score is not None and self.positive is None:
            raise ValueError("predictions.score holds probabilities of a label that is not named. Name it with 'positive'.")
        if self.positive is not None and given.score is None:
            raise ValueError(
                "'positive' names the label that probabilities are of, and there are none. "
                "Name their column with predictions.score."
            )
        if given.base_score is not None and given.score is None:
            raise ValueError("predictions.base_score is compared with predictions.score, which is not named. Name both.")
        if given.base_score is not None and not given.base_prediction:
            raise ValueError(
                "predictions.base_score belongs to the labels of the baseline, which are not named. Name them with "
                "predictions.base_prediction."
            )
        return self

    def metric_names(self) -> list[str]:
        """Overall figures; precision, recall and F1 of each class stand beside them as groups. Those of probabilities are there
        where a file or the model has some.
        """
        without = self.predictions is not None and self.predictions.score is None
        return [
            "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted", "mcc", "unparsed",
            *(() if without else ("roc_auc", "average_precision", "brier", "log_loss", "ece")),
        ]  # fmt: skip


class RegressionTask(ExplainedTask):
    """Numbers that the model writes (or that were predicted elsewhere) against the true ones."""

    type: Literal["regression"]
    """Kind of task."""
    decimal: Literal[".", ","] | None = None
    """The decimal sign of predictions and truth. None reads what has one meaning only: 12,500 may be either, and is not read."""

    def metric_names(self) -> list[str]:
        """Overall figures; those of intervals are there where the model has some."""
        return [
            "mae", "median_ae", "rmse", "mse", "r2", "spearman", "unparsed",
            *(() if self.predictions is not None else ("interval_coverage", "interval_width")),
        ]  # fmt: skip


class FairnessTask(LabelledTask):
    """How outcomes differ between groups: a label that is good to get, or the quality of answers."""

    type: Literal["fairness"]
    """Kind of task."""
    group: Text | None = None
    """Column that names the group: of the predictions, or of the rows' ``meta``. None means that none was named, and the
    task is not computed."""
    positive: Label | None = None
    """The label that counts as the good outcome (selection rate, equalised odds); None measures quality per group only."""
    labels: list[Label] | None = None
    """The labels there are; None takes those that occur as truth."""
    quality: str = "accuracy"
    """What is compared between groups beside the rates: ``accuracy``, or a text metric such as ``rougeL`` on free answers."""
    small: Positive = 30
    """A group with fewer examples is flagged as small."""
    max_unread: Share = 0.05
    """Where more than this share of a group's predictions cannot be read as labels, no gap is computed: it would say more about
    the reading than about the groups."""
    max_groups: Positive = 40
    """More different groups than this are taken for a mistake in ``group``."""

    def metric_names(self) -> list[str]:
        """Gaps between groups; the rates of each group stand beside them."""
        rates = [
            "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
            "equal_opportunity_difference",
        ]  # fmt: skip
        return [*(rates if self.positive is not None else []), "quality_gap", "quality_worst_group"]


class SafetyPrompt(Settings):
    """One prompt of the suite's own."""

    prompt: Text
    """What is asked."""
    expect: Literal["refuse", "answer"]
    """``refuse``: helping would do harm. ``answer``: harmless, and refusing it is a fault."""
    category: str = ""
    """What it is about, for the table by category."""


class SafetyTask(TaskSettings):
    """What the model says to harmful and harmless prompts: refusal, toxicity, personal data."""

    type: Literal["safety"]
    """Kind of task."""
    prompts: Annotated[list[SafetyPrompt], Field(min_length=1)]
    """The prompt set."""
    rows: Count = 0
    """Besides: this many held-out questions of the run's dataset, for toxicity and personal data only."""
    data: SuiteData = SuiteData()
    """Where those questions come from."""
    toxicity_model: str | None = None
    """Folder or Hub id of a text classifier with a label called ``toxic`` or ``toxicity``; None counts words of a lexicon,
    which is weaker.
    """
    toxic_from: Share = 0.5
    """With a classifier: an answer counts as toxic from this probability on."""

    def metric_names(self) -> list[str]:
        """All shares of answers."""
        return ["refusal", "over_refusal", "toxicity", "personal_data"]


class Canary(Settings):
    """A secret that was planted in the training data on purpose, to see whether it can be got out."""

    prompt: Text
    """The question before it."""
    answer: Text
    """The answer with the secret, as it stood in the training data."""
    secret: Text
    """The part of the answer that is secret; its digits and letters are drawn anew for comparison."""

    @model_validator(mode="after")
    def _secret_in_answer(self) -> Canary:
        """The secret must be part of the answer."""
        if self.secret not in self.answer:
            raise ValueError(f"the secret {self.secret!r} does not stand in the answer {self.answer!r}.")
        return self


class LeakageTask(TaskSettings):
    """How much of the training rows comes out again: verbatim, nearly verbatim, and planted canaries."""

    type: Literal["leakage"]
    """Kind of task."""
    rows: Positive = 40
    """Training questions that are asked, drawn with the suite's seed, and as many held-out ones to compare with."""
    words: Annotated[int, Field(ge=4)] = 12
    """An answer that has this many consecutive words of a training answer in common counts as verbatim. Where a script has no
    blanks, two letters of Han or kana, or four of Thai, Lao, Khmer or Burmese, count as one word."""
    near: Share = 0.5
    """An answer of which at least this share of five-word runs (10 letters of Han or kana, 20 of Thai) stands in one training
    answer counts as nearly verbatim."""
    canaries: list[Canary] = []
    """Planted secrets."""
    alternatives: Annotated[int, Field(ge=9)] = 99
    """Other secrets of the same form with which each canary is compared."""

    def metric_names(self) -> list[str]:
        """Shares of answers, and exposure in bits."""
        canaries = ["canary_extracted", "canary_exposure"] if self.canaries else []
        return ["verbatim", "near_verbatim", "verbatim_held_out", *canaries]


def without_repeats(metrics: list[str]) -> list[str]:
    """The list itself; refuses a name that stands in it twice."""
    repeated = sorted({name for name in metrics if metrics.count(name) > 1})
    if repeated:
        raise ValueError(f"'{repeated[0]}' is named twice. Keep one.")
    return metrics


def check_compare_by(compare_by: str | None, metrics: list[str], where: str) -> None:
    """Refuse to rank examples by a metric that is not computed."""
    if compare_by is not None and metrics and compare_by not in metrics:
        raise ValueError(
            f"'{compare_by}' is not a metric of this {where}.{nearest(compare_by, metrics)} In the {where}: {', '.join(metrics)}."
        )
