"""Which presets are worth trying for a project, what data is still missing, and what success would need: a table of rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.core.content import list_content
from studio.core.errors import StudioError, UserError
from studio.core.telling import Block, Pairs, Told, bytes_of, size_text
from studio.core.workspace import Workspace
from studio.data.examples import Examples
from studio.schema.advice import PresetRule, Rules
from studio.schema.loading import load_yaml
from studio.schema.project import Need, Project
from studio.search.facts import Facts, assumed, meets, said_and_seen
from studio.search.success import success_sentences
from studio.train.kinds import PlanWish, preset_kind
from studio.train.opening import Asked, Say, find_preset

TABLE = Path(__file__).parent / "rules.yaml"
# Tasks whose rows are examples with a target.
_WITH_TARGET = ("labels", "numbers")


@dataclass(frozen=True)
class Suggestion:
    """A preset with its reason. plan: what its plan says, empty where it could not be made. problem: why it cannot be trained as
    things are. assumes: what is not known and was taken for granted.
    """

    preset: str
    why: str
    needs: str
    assumes: tuple[str, ...]
    plan: tuple[tuple[str, str], ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Advice:
    """All that is told."""

    facts: Facts
    suggestions: tuple[Suggestion, ...]
    missing: tuple[str, ...]
    success: tuple[str, ...]
    target: str | None = None


def advise(file: Path, workspace: Workspace, say: Say) -> Advice:
    """Advice for a project.

    Raises:
        ConfigError: a slip in the file. UserError: it says nothing that can be weighed, or its Dataset does not fit.
    """
    project = load_yaml(file, Project)
    if project.needs is None:
        raise UserError(
            f"{file}: has no 'needs', so there is nothing to weigh. Add what is known, for example "
            "needs: {kind: labels, input: text, rows: 500, classes: 8, minutes: 30} (docs/search.md)"
        )
    need, rules = project.needs, load_yaml(TABLE, Rules)
    memory = bytes_of(need.memory, f"{file}: needs.memory") if need.memory is not None else None
    facts = said_and_seen(need, workspace, _reader(need, rules, workspace), memory)
    chosen = [rule for rule in sorted(rules.presets, key=lambda rule: rule.order) if meets(facts, rule.when, unknown=True)]
    chosen = [rule for rule in chosen if rule.preset in list_content("adapters")][: rules.most]
    if not chosen:
        raise UserError(f"{file}: no rule knows a preset for {need.kind} of {facts.input}. See the presets: studio train")
    return Advice(
        facts=facts,
        suggestions=tuple(_suggested(rule, need, facts, memory, workspace, say) for rule in chosen),
        missing=tuple(_missing(facts, rules)),
        success=tuple(success_sentences(project.success, facts.test_rows)),
        target=need.target if need.kind in _WITH_TARGET else None,
    )


def _reader(need: Need, rules: Rules, workspace: Workspace) -> Any:
    """What reads a Dataset as the presets of this task do; None where its rows have no target."""
    if need.kind not in _WITH_TARGET:
        return None
    name = next(rule.preset for rule in rules.presets if rule.when.tasks[0] == need.kind)
    path = find_preset(name, workspace)
    kind = preset_kind(path)
    preset = load_yaml(path, kind.schema, _target(need))

    def read(folder: Path, split: str) -> Examples:
        return kind.examples(preset, folder, split)

    return read


def _target(need: Need) -> list[str]:
    """The target as a setting, for presets that have one."""
    return [f"target={need.target}"] if need.target is not None and need.kind in _WITH_TARGET else []


def _suggested(rule: PresetRule, need: Need, facts: Facts, memory: int | None, workspace: Workspace, say: Say) -> Suggestion:
    """A preset that a rule names, planned where there is a Dataset to plan on."""
    suggestion = Suggestion(rule.preset, rule.why, rule.needs, tuple(assumed(facts, rule.when)))
    if need.dataset is None:
        return suggestion
    path = find_preset(rule.preset, workspace)
    asked = Asked(path, rule.preset, data=str(workspace.find_dataset(need.dataset)), settings=_target(need))
    try:
        planned = preset_kind(path).plan(asked, PlanWish(memory=memory), workspace, say)
    except StudioError as error:
        return _with(suggestion, problem=str(error))
    plan = tuple(_plan_rows(planned.told))
    try:
        planned.check()
    except StudioError as error:
        return _with(suggestion, plan=plan, problem=str(error))
    return _with(suggestion, plan=plan)


def _with(suggestion: Suggestion, **changes: Any) -> Suggestion:
    """The same with other values."""
    return Suggestion(**{**asdict(suggestion), **changes})


def _plan_rows(told: Told) -> Iterator[tuple[str, str]]:
    """Name and value of each line of a plan."""
    for block in told.blocks:
        if isinstance(block, Pairs):
            for name, value in block.rows:
                yield name, str(value)


def _missing(facts: Facts, rules: Rules) -> Iterator[str]:
    """What of the data is still missing."""
    if facts.rows is None:
        yield "how many rows there are is not said. Name a Dataset under needs.dataset, or needs.rows."
    for rule in rules.data:
        if meets(facts, rule.when, unknown=False):
            yield rule.missing + _rarest(facts, rule.when.per_label_to is not None)
    if facts.test_rows == 0:
        yield "there are no test rows, so nothing can be shown. Build the Dataset with split.test."


def _rarest(facts: Facts, of_labels: bool) -> str:
    """The labels that are meant."""
    if not of_labels or not facts.labels:
        return ""
    few = sorted(facts.labels.items(), key=lambda item: (item[1], item[0]))[:3]
    return f" Rarest: {', '.join(f'{label} ({count})' for label, count in few)}."


def told(file: Path, advice: Advice) -> Told:
    """The advice in words."""
    blocks: list[Block] = [Pairs(list(_known(advice.facts)))]
    for number, item in enumerate(advice.suggestions, start=1):
        blocks += ["", f"{number}. {item.preset}", f"   {item.why}"]
        blocks += [f"   First: {item.needs}"] if item.needs else []
        blocks += [f"   Taken for granted: {', '.join(item.assumes)} (say it under needs)"] if item.assumes else []
        blocks += [f"   {name}: {value}" for name, value in item.plan]
        blocks += [f"   It cannot be trained as things are: {item.problem}"] if item.problem else []
    for title, sentences in (("Still missing", advice.missing), ("What success would need", advice.success)):
        if sentences:
            blocks += ["", f"{title}:", *(f"- {sentence}" for sentence in sentences)]
    blocks += ["", "Next: " + "\n      ".join(_next(advice))]
    return Told(tuple(blocks), {"project": str(file), **asdict(advice)})


def _known(facts: Facts) -> Iterator[tuple[str, object]]:
    """What the advice rests on."""
    yield "task", f"{facts.task}{f' from {facts.input}' if facts.input else ''}"
    if facts.rows is not None:
        yield (
            "rows",
            f"{facts.rows:,} to learn from{f', {facts.test_rows:,} to measure on' if facts.test_rows is not None else ''}",
        )
    if facts.classes:
        yield "labels", f"{facts.classes}{f', the rarest with {facts.per_label} rows' if facts.per_label is not None else ''}"
    if facts.columns:
        yield "columns", facts.columns
    if facts.series:
        yield "series", facts.series
    memory = f", {size_text(facts.memory)} of memory" if facts.memory is not None else ""
    disk = f", {size_text(facts.disk)} of disk free" if facts.disk is not None else ""
    yield "machine", f"{facts.cores} cores, {'a GPU' if facts.gpu else 'no GPU'}{memory}{disk}"
    for note in facts.notes:
        yield "note", note


def _next(advice: Advice) -> Sequence[str]:
    """Commands that go on from here."""
    facts = advice.facts
    data = facts.dataset or "DATASET"
    usable = [item.preset for item in advice.suggestions if item.problem is None] or [advice.suggestions[0].preset]
    target = f" --set target={advice.target}" if advice.target else ""
    steps = [f"studio train {usable[0]} --data {data}{target}"]
    if facts.task in _WITH_TARGET and len(usable) > 1:
        steps.insert(0, f"studio compare {' '.join(usable)} --data {data}{target}")
    return steps
