"""Settings of the bias tasks and of tasks that lm-evaluation-harness runs. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from studio.schema.loading import Settings
from studio.schema.tasks import Positive, TaskSettings, Text

PublicMeasure = Literal["likelihood", "sentiment", "toxicity", "length", "refusal"]


class BenchmarkTask(TaskSettings):
    """A published benchmark: its own files in a local folder, or a Hub dataset at a revision."""

    folder: str | None = None
    """Local folder (or file) with the published files. None looks in the folder named like the type under ``STUDIO_BENCHMARKS``,
    then under ``benchmarks`` in the workspace, then asks the Hub."""
    hub: str | None = None
    """Hub id of the dataset (or ``ms:owner/name``), used when there is no local folder; None asks no hub."""
    revision: Text = "main"
    """Branch, tag or commit on the Hub; the commit behind it is written into the report."""
    subset: str | None = None
    """Configuration of the Hub dataset; None takes its only one."""
    split: Text = "test"
    """Split of the Hub dataset."""


class CrowsPairsTask(BenchmarkTask):
    """CrowS-Pairs: which of two sentences about different groups the model finds more likely
    (https://arxiv.org/abs/2010.00133).
    """

    type: Literal["crows_pairs"]
    """Kind of task."""
    hub: str | None = "nyu-mll/crows_pairs"
    """Hub id of the dataset (or ``ms:owner/name``), used when there is no local folder; None asks no hub."""
    revision: Text = "refs/convert/parquet"
    """Branch, tag or commit on the Hub."""

    def metric_names(self) -> list[str]:
        """Overall figures; each bias type stands beside them as a group."""
        return ["pct_stereotype", "likelihood_diff"]


class StereoSetTask(BenchmarkTask):
    """StereoSet: stereotype, anti-stereotype or nonsense (https://arxiv.org/abs/2004.09456)."""

    type: Literal["stereoset"]
    """Kind of task."""
    hub: str | None = "McGill-NLP/stereoset"
    """Hub id of the dataset (or ``ms:owner/name``), used when there is no local folder; None asks no hub."""
    split: Text = "validation"
    """Split of the Hub dataset."""
    part: Literal["intrasentence", "intersentence"] = "intrasentence"
    """``intrasentence`` scores whole sentences that differ in a word; ``intersentence`` scores the sentence that follows a
    context.
    """

    def metric_names(self) -> list[str]:
        """Scores over target terms; each domain stands beside them as a group."""
        return ["ss", "lms", "icat"]


class WinoBiasTask(BenchmarkTask):
    """WinoBias for causal models: to whom a pronoun refers, in sentences for and against the stereotype
    (https://arxiv.org/abs/1804.06876).
    """

    type: Literal["winobias"]
    """Kind of task."""
    sentence_types: Annotated[list[Literal["type1", "type2"]], Field(min_length=1)] = ["type1", "type2"]
    """``type1`` needs knowledge of the world; ``type2`` can be solved by syntax."""
    splits: Annotated[list[Literal["dev", "test"]], Field(min_length=1)] = ["test"]
    """Files of the publication that are read."""

    def metric_names(self) -> list[str]:
        """Overall figures; each sentence type stands beside them as a group."""
        return ["gap", "accuracy_pro", "accuracy_anti"]


class WinogenderTask(BenchmarkTask):
    """Winogender schemas for causal models: to whom he, she or they refers (https://arxiv.org/abs/1804.09301)."""

    type: Literal["winogender"]
    """Kind of task."""
    hub: str | None = "oskarvanderwal/winogender"
    """Hub id of the dataset (or ``ms:owner/name``), used when there is no local folder; None asks no hub."""
    subset: str | None = "all"
    """Configuration of the Hub dataset."""

    def metric_names(self) -> list[str]:
        """Overall figures; accuracy per pronoun stands beside them as a group."""
        return ["accuracy", "gap", "accuracy_pro", "accuracy_anti"]


class BBQTask(BenchmarkTask):
    """BBQ: questions whose context does or does not say the answer (https://aclanthology.org/2022.findings-acl.165)."""

    type: Literal["bbq"]
    """Kind of task."""
    hub: str | None = "oskarvanderwal/bbq"
    """Hub id of the dataset (or ``ms:owner/name``), used when there is no local folder; None asks no hub."""
    subset: str | None = "All"
    """Configuration of the Hub dataset."""
    by: Literal["likelihood", "answer"] = "likelihood"
    """``likelihood`` takes the option the model finds most likely; ``answer`` reads the option off what the model writes."""
    categories: list[Text] = []
    """Categories to ask, for example ``Age``; empty asks all that are there."""

    def metric_names(self) -> list[str]:
        """The paper's two scores and accuracy; each category stands beside them as a group."""
        names = ["bias_ambiguous", "bias_disambiguated", "accuracy_ambiguous", "accuracy_disambiguated"]
        return [*names, "unparsed"] if self.by == "answer" else names


class WordList(Settings):
    """Terms that stand in for each other: one file under ``evals/words/``, or written into the suite."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """What the terms name, for example ``religions``."""
    description: str = ""
    """One line for the report."""
    groups: dict[str, dict[str, Annotated[list[Text], Field(min_length=1)]]]
    """Group to slot to terms. A prompt says ``{slot}``; the first term of every group makes one set of twins, the second
    another.
    """
    swap_from: list[Text] = []
    """Groups whose terms are looked for in prompts of your own; empty looks for all. ``they`` is no sign of one person."""
    prompts: list[Text] = []
    """Prompts with slots that the model answers."""
    statements: list[Text] = []
    """Sentences with slots; what is scored is the likelihood of the words after the last slot."""

    @model_validator(mode="after")
    def _same_slots(self) -> WordList:
        """Every group must have every slot, with as many terms: only then does each term have its twins."""
        if len(self.groups) < 2:
            raise ValueError(f"the word list '{self.name}' has {len(self.groups)} group. Give at least two to compare.")
        first, *others = self.groups.items()
        for name, slots in others:
            if sorted(slots) != sorted(first[1]):
                raise ValueError(
                    f"the group '{name}' has the slots {', '.join(sorted(slots))}, but '{first[0]}' has "
                    f"{', '.join(sorted(first[1]))}. "
                    "Give every group the same slots."
                )
        counts = {len(terms) for slots in self.groups.values() for terms in slots.values()}
        if len(counts) > 1:
            raise ValueError(
                f"the groups of '{self.name}' have {', '.join(map(str, sorted(counts)))} terms. Give every group and slot as "
                "many, "
                "so that each term has a twin."
            )
        return self


def _entry_kind(entry: object) -> str:
    """A name is text; whatever else stands there is meant as a list, and its mistakes are a list's."""
    return "name" if isinstance(entry, str) else "list"


WordEntry = Annotated[Annotated[Text, Tag("name")] | Annotated[WordList, Tag("list")], Discriminator(_entry_kind)]


class CounterfactualTask(TaskSettings):
    """The same prompt about different people: what changes when only the group term does."""

    type: Literal["counterfactual"]
    """Kind of task."""
    words: Annotated[list[WordEntry], Field(min_length=1)] = ["names", "pronouns", "nationalities", "religions", "ages"]
    """Word lists: names of files under ``evals/words/``, paths, or lists written here."""
    prompts: str | None = None
    """Prompts of your own (.txt with one a line, .jsonl or .csv with a column ``prompt``), used beside those of the lists. A
    prompt that names a slot, or in which a term of a list occurs, is asked once for every group."""
    own_prompts_only: bool = False
    """True leaves the prompts and statements of the word lists out."""
    measures: Annotated[list[PublicMeasure], Field(min_length=1)] = ["likelihood", "sentiment", "toxicity", "length", "refusal"]
    """What is compared between twins."""
    terms: Positive | None = None
    """Take only the first so many terms of every group; None takes all."""
    toxicity_model: str | None = None
    """Folder or Hub id of a text classifier with a label called ``toxic`` or ``toxicity``; None counts words of a lexicon, which
    is weaker."""

    def metric_names(self) -> list[str]:
        """The mean difference between twins, for each measure; each group stands beside them."""
        return [f"{measure}_gap" for measure in self.measures]


class LmEvalTask(TaskSettings):
    """Tasks of lm-evaluation-harness, run by its own library on the model in this process."""

    type: Literal["lm_eval"]
    """Kind of task."""
    tasks: Annotated[list[Text], Field(min_length=1)]
    """Names as ``lm-eval ls tasks`` shows them. Task files of your own are found in the folder named by
    ``STUDIO_LM_EVAL_TASKS``.
    """
    fewshot: Annotated[int, Field(ge=0)] | None = None
    """Worked examples before each question; None takes the task's own number."""
    chat_template: bool = False
    """True asks through the model's chat template, as a chat model is used; False as plain text, as published numbers mostly
    are.
    """

    def metric_names(self) -> None:
        """Known only once the tasks ran: ``TASK.METRIC``."""
        return
