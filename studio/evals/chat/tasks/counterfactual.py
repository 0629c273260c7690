"""The task ``counterfactual``: the same text about different people, asked of every model; what differs between twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from studio.core.errors import StudioError
from studio.core.records import GroupScores, Score
from studio.evals.chat.bias.counterfactual import (
    Family,
    against_twins,
    gap,
    list_families,
    load_word_list,
    prompt_families,
    read_prompts,
    spoken_list,
)
from studio.evals.chat.bias.results import Measured, ask_likelihoods, ask_questions, bias_metric, small_note, summarise
from studio.evals.chat.speech import dataset_language
from studio.evals.chat.toxicity import open_classifier
from studio.evals.evidence import Answer, scored_text, spoken_text
from studio.evals.languages import counts_of, has_list, languages_of, not_measured
from studio.evals.metrics.base import Metric
from studio.evals.numbers import number
from studio.evals.scoring import score, without_value
from studio.evals.statistics import POSITIVE, SHARE, Scale
from studio.evals.task import Card, CardGroup, NotComputedError, Part, TaskContext, TaskResult
from studio.language import mood, phrases
from studio.language.identify import name_of
from studio.language.scripts import count_words
from studio.schema.bias import CounterfactualTask

Values = list[list[float | None]]
Judge = Callable[[Sequence[str]], list[float]]

_UNITS = {
    "likelihood": "nats per token",
    "sentiment": "points of VADER's scale of -1 to 1",
    "toxicity": "share of answers",
    "length": "words",
    "refusal": "share of answers",
}
# What a difference between twins can be.
_SCALES = {
    "likelihood": POSITIVE,
    "sentiment": Scale(0.0, 2.0),
    "toxicity": SHARE,
    "length": POSITIVE,
    "refusal": SHARE,
}
_TITLES = {
    "likelihood": "Likelihood of the rest of the sentence",
    "sentiment": "Sentiment of the answer (lexicon)",
    "toxicity": "Toxicity of the answer",
    "length": "Length of the answer",
    "refusal": "Refusal (lexicon)",
}


@dataclass
class Gathered:
    """What one measure gave: the families it was taken on, and per model one value per twin."""

    families: list[Family]
    by_label: dict[str, Values]

    @property
    def templates(self) -> list[str]:
        """What each family was made from."""
        return [family.template for family in self.families]


def run(context: TaskContext[CounterfactualTask]) -> TaskResult:
    """Measure what changes when only the group term of a text changes.

    Raises:
        UserError: there is no such word list, or a file of prompts cannot be read.
        NotComputedError: no prompt is left, or the toxicity classifier that was named cannot be had.
    """
    task = context.task
    families, notes = _families(context)
    prompts = [family for family in families if family.kind == "prompt"]
    statements = [family for family in families if family.kind == "statement"]
    judge, toxicity_made_with = _toxicity(task)
    asked = sorted(set(task.measures) - {"likelihood"})
    answers = _flat_answers(context, prompts) if asked and prompts else {label: [] for label in context.labels}
    asked_texts = [twin.text for family in prompts for twin in family.twins]
    spoken = {label: _spoken(asked_texts, found) for label, found in answers.items()}
    gathered: dict[str, Gathered] = {}
    for measure in task.measures:
        if measure == "likelihood":
            gathered[measure] = Gathered(statements, _likelihoods(context, statements))
        else:
            values = {label: _of_answers(measure, texts, spoken[label], judge, asked_texts) for label, texts in answers.items()}
            found = {label: _by_family(prompts, flat) for label, flat in values.items()}
            gathered[measure] = Gathered(prompts, {label: _without_silence(measure, rows) for label, rows in found.items()})
    metrics: dict[str, Metric] = {measure: _metric(measure, toxicity_made_with) for measure in task.measures}
    measured = [
        Measured(metrics[measure], {label: gap(values) for label, values in found.by_label.items()}, found.templates)
        for measure, found in gathered.items()
    ]
    scores, differences = summarise(context, measured)
    unmeasured = _unmeasured(task, spoken)
    scores = {label: [_or_reason(item, metrics, unmeasured[label]) for item in items] for label, items in scores.items()}
    without = {f"{measure}_gap" for found in unmeasured.values() for measure in found}
    differences = [item for item in differences if item.metric not in without]
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=_table(prompts, statements, answers, gathered),
        groups=[
            _groups(context, metrics[measure], measure, found)
            for measure, found in gathered.items()
            if f"{measure}_gap" not in without
        ],
        notes=notes,
        limits=[
            "Twins differ in one term, so a difference is the model's doing; but a term can carry more than the group (how "
            "common it "
            "is, which language it is from), and with so few texts only large differences show.",
            "The mean difference between twins is never exactly 0, because any change of a prompt changes an answer. Compare "
            "it with the "
            "base, and read from the bars by group which way it goes.",
        ],
        cards=_cards(answers, gathered, task.examples_shown),
        data={
            "words": sorted({family.words for family in families}),
            "prompts": len(prompts),
            "statements": len(statements),
            "languages": {label: counts_of(found) for label, found in spoken.items()},
        },
        rows=len(families),
        title="Counterfactual substitution",
    )


def _families(context: TaskContext[CounterfactualTask]) -> tuple[list[Family], list[str]]:
    """All families of the task, at most ``limit`` of them, and what the reader must know about them."""
    task = context.task
    people = dataset_language(context)
    lists = [load_word_list(spoken_list(entry, people)) for entry in task.words]
    families: list[Family] = []
    notes = _list_notes(task, people)
    if not task.own_prompts_only:
        families += [family for words in lists for family in list_families(words, terms=task.terms)]
    if task.prompts is not None:
        own, unused = prompt_families(read_prompts(Path(task.prompts).expanduser()), lists, terms=task.terms)
        families += own
        notes += [f"{unused} of your own prompts name no term of the word lists and were left out."] if unused else []
    if not families:
        raise NotComputedError("no prompt is left: no list has prompts, or none of your own names a term of a list. Add some.")
    # What no measure needs would only take the place of what one does.
    needed = {"statement" if measure == "likelihood" else "prompt" for measure in task.measures}
    kinds = [[family for family in families if family.kind == kind] for kind in ("prompt", "statement") if kind in needed]
    kept = [family for kind in context.draw_of_each(kinds) for family in kind]
    drawn = len(kept) < sum(map(len, kinds))
    notes += [f"{len(kept)} of {sum(map(len, kinds))} texts were drawn (limit {task.limit})."] if drawn else []
    return kept, notes


def _list_notes(task: CounterfactualTask, people: str | None) -> list[str]:
    """Which lists stand in for those that the suite names, and which are in another language than people's."""
    if people in {None, "en"}:
        return []
    language = name_of(str(people))
    names = [entry for entry in task.words if isinstance(entry, str)]
    taken = [entry for entry in names if spoken_list(entry, people) != entry]
    others = [entry for entry in names if entry not in taken and not entry.endswith(f"-{people}")]
    notes = [f"People here speak {language}: the lists {', '.join(taken)} were taken in {language}."] if taken else []
    if others:
        notes.append(
            f"People here speak {language}, but the lists {', '.join(others)} are not in {language}: answers to texts in it "
            "were not compared. Write a list into the suite."
        )
    return notes


def _spoken(asked: Sequence[str], answers: Sequence[Answer | None]) -> list[str | None]:
    """The language of every answer; a short one is taken for that of its text."""
    return languages_of([scored_text(answer) for answer in answers], languages_of(asked)) if answers else []


def _unmeasured(task: CounterfactualTask, spoken: Mapping[str, Sequence[str | None]]) -> dict[str, dict[str, str]]:
    """For each model, the measures by word list that its answers have no list for, and why."""
    by_list = [
        measure
        for measure in task.measures
        if measure in {"sentiment", "refusal"} or (measure == "toxicity" and task.toxicity_model is None)
    ]
    reasons = {label: not_measured(languages) for label, languages in spoken.items()}
    return {label: dict.fromkeys(by_list, reason) if reason is not None else {} for label, reason in reasons.items()}


def _or_reason(item: Score, metrics: Mapping[str, Metric], unmeasured: Mapping[str, str]) -> Score:
    """The score, or why there is none."""
    measure = item.metric.removesuffix("_gap")
    return without_value(metrics[measure], unmeasured[measure], item.n) if measure in unmeasured else item


def _toxicity(task: CounterfactualTask) -> tuple[Judge | None, str]:
    """The classifier that was named, else None for the lexicon, which says so."""
    if task.toxicity_model is None or "toxicity" not in task.measures:
        return None, phrases.TOXICITY_MADE_WITH
    try:
        return open_classifier(task.toxicity_model)
    except StudioError as error:
        raise NotComputedError(f"the toxicity classifier cannot be had: {error}") from error


def _metric(measure: str, toxicity_made_with: str) -> Metric:
    """The difference between twins by one measure."""
    ways: dict[str, Callable[[], str]] = {
        "sentiment": lambda: f"{mood.sentiment_made_with()}; other languages: {mood.sentiment_made_with('zh')}",
        "toxicity": lambda: toxicity_made_with,
        "length": lambda: "words between white space, letters where a script has no blanks",
        "refusal": lambda: phrases.REFUSAL_MADE_WITH,
    }
    made_with = ways.get(measure)
    weak = made_with is not None and "lexicon" in made_with()
    weaker = " A word list is weak: it knows words, not meanings." if weak else ""
    what = "of the words after the group term" if measure == "likelihood" else "of the answers"
    return bias_metric(
        f"{measure}_gap",
        f"{_TITLES[measure]}: difference between twins",
        unit=_UNITS[measure],
        scale=_SCALES[measure],
        better="lower",
        explains=(
            f"Mean absolute difference {what} between two texts that differ in the group term only, over all pairs of groups. "
            "0 would "
            f"be no difference.{weaker}"
        ),
        made_with=made_with,
        per_token=measure == "likelihood",
    )


def _likelihoods(context: TaskContext[CounterfactualTask], families: Sequence[Family]) -> dict[str, Values]:
    """Mean log-probability per token of what follows the last group term of every twin."""
    texts = [(twin.text[: twin.seam], twin.text[twin.seam :]) for family in families for twin in family.twins]
    scored = ask_likelihoods(context, texts)
    return {
        label: _by_family(families, [None if item is None else item.sum / item.tokens for item in values])
        for label, values in scored.items()
    }


def _flat_answers(context: TaskContext[CounterfactualTask], families: Sequence[Family]) -> dict[str, list[Answer | None]]:
    """Every model's answer to every twin, family after family."""
    return ask_questions(context, [twin.text for family in families for twin in family.twins])


def _of_answers(
    measure: str, answers: Sequence[Answer | None], languages: Sequence[str | None], judge: Judge | None, asked: Sequence[str]
) -> list[float | None]:
    """One number per answer; None without one, where nothing was said that could be judged, or without a list of its language.

    Silence has a length: to be silent about one group only is a difference.
    """
    if measure == "length":
        lengths = [scored_text(answer) for answer in answers]
        return [None if text is None else float(count_words(text)) for text in lengths]
    texts = [spoken_text(answer) for answer in answers]
    if measure == "toxicity" and judge is not None:
        values = judge([text or "" for text in texts])
        return [None if text is None else value for text, value in zip(texts, values, strict=True)]
    rate: dict[str, Callable[[str, str, str], float]] = {
        "sentiment": lambda text, code, _: mood.sentiment(text, code),
        "toxicity": phrases.toxicity,
        "refusal": lambda text, _, question: float(phrases.is_refusal(text, question)),
    }
    return [
        None if text is None or not has_list(code) else rate[measure](text, code or "en", question)
        for text, code, question in zip(texts, languages, asked, strict=True)
    ]


def _without_silence(measure: str, values: Values) -> Values:
    """Families whose twins are all met with silence have no length to compare: a model that says nothing is not even-handed."""
    return [[None] * len(row) if measure == "length" and not any(row) else row for row in values]


def _by_family(families: Sequence[Family], flat: Sequence[float | None]) -> Values:
    """One list per family of a flat list of twins."""
    found: Values = []
    start = 0
    for family in families:
        found.append(list(flat[start : start + len(family.twins)]))
        start += len(family.twins)
    return found


def _groups(context: TaskContext[CounterfactualTask], metric: Metric, measure: str, found: Gathered) -> GroupScores:
    """For every group of every list: its mean minus that of its twins."""
    names = list(dict.fromkeys((family.words, twin.group) for family in found.families for twin in family.twins))
    scores: dict[str, list[Score]] = {label: [] for label in context.labels}
    for words, group in names:
        places = [
            (index, [twin.group for twin in family.twins].index(group))
            for index, family in enumerate(found.families)
            if family.words == words
        ]
        for label in context.labels:
            rows = [_first(found.by_label[label][index], place) for index, place in places]
            templates = [found.templates[index] for index, _ in places]
            item = score(metric, against_twins(rows, 0), resamples=context.resamples, seed=context.seed, clusters=templates)
            name = f"{words}: {group}"
            changes = {"metric": name, "title": name, "better": "neither", "ideal": 0.0, "note": small_note(item.n)}
            scores[label].append(item.model_copy(update=changes))
    return GroupScores(
        title=f"{_TITLES[measure]}: group minus its twins",
        unit=_UNITS[measure],
        ideal=0.0,
        explains="Mean, over the texts, of this group's value minus the mean of the other groups' on the same text. 0 is alike.",
        scores=scores,
    )


def _first(row: Sequence[float | None], place: int) -> list[float | None]:
    """A family's values with one twin's first."""
    return [row[place], *row[:place], *row[place + 1 :]]


def _table(
    prompts: Sequence[Family],
    statements: Sequence[Family],
    answers: Mapping[str, Sequence[Answer | None]],
    gathered: Mapping[str, Gathered],
) -> pd.DataFrame:
    """One line per twin."""
    lines: list[dict[str, object]] = []
    for families in (prompts, statements):
        flat = 0
        for index, family in enumerate(families):
            for place, twin in enumerate(family.twins):
                line: dict[str, object] = {"id": family.id, "words": family.words, "kind": family.kind, "group": twin.group}
                line["text"] = twin.text
                for label, found in answers.items():
                    answer = found[flat] if families is prompts and found else None
                    line[f"{label}_answer"] = scored_text(answer)
                for measure, item in gathered.items():
                    for label, values in item.by_label.items():
                        line[f"{label}_{measure}"] = values[index][place] if item.families is families else None
                lines.append(line)
                flat += 1
    return pd.DataFrame(lines)


def _cards(
    answers: Mapping[str, Sequence[Answer | None]],
    gathered: Mapping[str, Gathered],
    count: int,
) -> list[CardGroup]:
    """The prompts whose answers by the tuned model differ most in sentiment, and the statements in likelihood."""
    groups = []
    for measure in ("sentiment", "likelihood"):
        if measure not in gathered:
            continue
        found = gathered[measure]
        each = gap(found.by_label["tuned"]).each
        ranked = sorted(((value, index) for index, value in enumerate(each) if value), reverse=True)[:count]
        cards = []
        for value, index in ranked:
            family = found.families[index]
            offset = sum(len(item.twins) for item in found.families[:index])
            sides = []
            for place, twin in enumerate(family.twins):
                rated = number(found.by_label["tuned"][index][place], signed=True)
                said = scored_text(answers["tuned"][offset + place]) if family.kind == "prompt" else None
                sides.append(Part(f"{twin.group}: {rated}", said or twin.text))
            cards.append(Card(f"{family.id} · mean difference {number(value)}", (), sides))
        groups.append(CardGroup(f"Largest differences between twins, tuned: {_TITLES[measure].lower()}", cards))
    return groups
