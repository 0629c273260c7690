"""One round of improving a model in use, top to bottom: gather, train, measure, judge, ask, try, promote.

Every step is written down when it is done, and finds again what it had made when it was interrupted. So a round that is killed
goes on with the next call, and one that waits for a person or for traffic does so without a process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace, read_run
from studio.data.feedback import SPLIT_LINES
from studio.loop import gathering, measuring, training
from studio.loop.report import write_report
from studio.loop.rolling import settle_trial
from studio.loop.rounds import AHEAD, Round, list_rounds, new_round, only_one
from studio.loop.trust import trusted
from studio.schema.project import Project
from studio.serve.aliases import list_aliases, list_canaries, promote, start_canary
from studio.serve.state import StatePaths
from studio.serve.switching import bring

Say = Callable[[str], None]
Answer = Literal["yes", "no"] | None


@dataclass
class Work:
    """What every step of a round can see. folder: of ``project.yaml``. port: which running server, where there are several."""

    round: Round
    project: Project
    folder: Path
    workspace: Workspace
    answer: Answer
    port: int | None
    say: Say

    @property
    def production(self) -> str:
        """The run in use when the round began."""
        return self.round.record.production["run"]


def improve(
    project: Project,
    folder: Path,
    workspace: Workspace,
    *,
    answer: Answer = None,
    port: int | None = None,
    say: Say = lambda _: None,
) -> Round | None:
    """Do a round, or go on with the one that is not over; None where nothing new was said that would make one worth it.

    Args:
        folder: that of ``project.yaml``. answer: what a person says to a better model, or to the whole round.
    Raises:
        UserError: another improve is at work, nothing stands behind the alias, or the rules cannot be followed.
        InterruptedRunError: a signal came; the next call goes on.
    """
    workspace.check_writable()
    with only_one(workspace, project.name):
        rounds = list_rounds(workspace, project.name)
        opened = rounds[-1] if rounds and rounds[-1].record.next_step is not None else None
        if opened is None:
            if answer is not None:
                raise UserError(f"no round of {project.name} waits for an answer. Begin one: studio improve PROJECT")
            opened = _open(project, folder, workspace, rounds, say)
            if opened is None:
                return None
        work = Work(opened, project, folder, workspace, answer, port, say)
        if answer == "no":
            _give_up(work)
            return work.round
        while (step := work.round.record.next_step) is not None:
            if not _STEPS[step](work):
                break
        return work.round


def _open(project: Project, folder: Path, workspace: Workspace, rounds: list[Round], say: Say) -> Round | None:
    """A new round, where enough was said since the last one by enough people; its rules are checked before it is opened."""
    rules, alias = project.improve, project.watch.rules.alias
    used = list_aliases(StatePaths.of(workspace).aliases).get(alias)
    if used is None:
        raise UserError(
            f"nothing stands behind the alias {alias!r}, so there is nothing to improve. First: "
            f"studio serve promote RUN --as {alias}"
        )
    run = workspace.find_run(used["run"])
    field_folder, field = gathering.field_of(read_run(run), workspace)
    if field.kind not in SPLIT_LINES:
        raise UserError(
            f"{used['run']} began with {field.name}, a Dataset of kind {field.kind!r}, and a round learns from what people said "
            f"of answers. Kinds that can: {', '.join(SPLIT_LINES)}."
        )
    measuring.suite_of(project, folder)
    for preset in (rules.sft, rules.dpo, rules.kto):
        if preset is not None:
            training.preset_path(preset, folder, workspace)
    now = time.time()
    since = _said_before(rounds, now, say)
    news = gathering.news_since(workspace, trusted(project.improve, workspace, now), since=since, until=now)
    left_out = "".join(f"; {count} {reason} left out" for reason, count in news.left_out.items())
    if news.judgements < rules.judgements:
        wanted = f"improve.judgements asks for {rules.judgements}"
        say(f"nothing to learn yet: {news.judgements} new judgements, and {wanted}{left_out}")
        return None
    if news.people < rules.people:
        say(
            f"nothing to learn yet: {news.judgements} new judgements of {news.people} people, and improve.people asks for "
            f"{rules.people}{left_out}"
        )
        return None
    opened = new_round(workspace, project.name, alias, {"model": used["model"], "run": used["run"]}, now)
    say(f"round {opened.record.number} of {project.name}: {news.judgements} new judgements of {news.people} people{left_out}")
    opened.begin("gather", field=str(field_folder), judgements=news.judgements, people=news.people)
    return opened


def _said_before(rounds: list[Round], now: float, say: Say) -> float:
    """Up to when everything was heard: by the newest round that is not dated in the future, for a clock may have been wrong."""
    heard = [made.record.until for made in rounds if made.record.until <= now + AHEAD]
    if len(heard) < len(rounds):
        ahead = rounds[-1].record.number if rounds[-1].record.until > now + AHEAD else "before"
        say(f"round {ahead} is dated in the future: a clock was wrong. What was said since the round before it counts as new")
    return max(heard, default=0.0)


def _gather(work: Work) -> bool:
    """Pin what was said into files of the round."""
    record = work.round.record
    trust = trusted(work.project.improve, work.workspace, record.until)
    for line in trust.told():
        work.say(line)
    begun = record.begun.get("gather", {})
    field_folder, _ = gathering.field_of(read_run(work.workspace.find_run(work.production)), work.workspace)
    pinned = gathering.pin_rows(work.round.folder, work.workspace, field_folder, work.project.improve, trust, until=record.until)
    grown = training.grown_rank(work.workspace.find_run(work.production), work.project.improve, work.folder, work.workspace)
    start = work.project.improve.start
    if start == "production" and grown is not None and grown > work.project.improve.max_rank:
        work.say(
            f"the adapter would grow to rank {grown} (max_rank {work.project.improve.max_rank}): this round begins at the base"
        )
        start = "base"
    work.round.done(
        "gather",
        **pinned,
        start=start,
        judgements=begun.get("judgements"),
        people=begun.get("people"),
        at_odds=len(trust.at_odds),
        flooded_hours=len(trust.hours),
        field=str(field_folder),
    )
    return True


def _sft_data(work: Work) -> bool:
    """The Dataset of answers to imitate, and that of new questions to measure on."""
    rules, gathered = work.project.improve, work.round.of("gather")
    _, field = gathering.field_of(read_run(work.workspace.find_run(work.production)), work.workspace)
    questions = None
    if gathered["rows"]["new-questions"]:
        recipe = gathering.questions_recipe(work.round.folder, rules)
        questions = _built(work, "questions", recipe)[0]
    if rules.sft is None or gathered["rows"]["sft"] < rules.fewest_rows:
        why = "the rules leave it out" if rules.sft is None else _few(gathered["rows"]["sft"], rules.fewest_rows)
        work.round.done("sft data", dataset=None, why=why, questions=questions)
        return True
    recipe = gathering.answers_recipe(work.round.folder, field, rules, replay=gathered["start"] == "production")
    dataset, why = _built(work, "sft", recipe)
    work.round.done("sft data", dataset=dataset, why=why, questions=questions)
    return True


def _built(work: Work, part: str, recipe: dict[str, Any]) -> tuple[str | None, str]:
    """A Dataset of the round; where its rows do not make one, the reason."""
    why = ""
    # Few rows that all resemble each other cannot be divided; they can be learnt from all the same.
    for divided in (recipe, {**recipe, "split": {**recipe["split"], "validation": 0}}):
        try:
            made = gathering.build(work.round.folder, f"{work.round.record.name}-{part}", divided, work.workspace, work.say)
        except DataError as error:
            why = why or str(error)
            continue
        if why:
            work.say(f"{part}: trained without validation rows ({why})")
        return made, ""
    work.say(f"{part}: {why}")
    return None, why


def _few(found: int, needed: int) -> str:
    """Why a training is left out."""
    return f"{found} rows, and improve.fewest_rows asks for {needed}"


def _sft(work: Work) -> bool:
    """Learn to answer as people said it should be."""
    data = work.round.of("sft data")["dataset"]
    run = None
    if data is not None:
        start = work.production
        if work.round.of("gather")["start"] == "base":
            start = training.base_of(read_run(work.workspace.find_run(work.production)))
        run = _trained(work, "sft", work.project.improve.sft or "", data, start, work.project.improve.sft_settings)
    work.round.done("sft", run=run)
    return True


def _preference_data(work: Work) -> bool:
    """The Dataset of pairs or thumbs, whichever the rules want or there is more of."""
    rules, rows = work.project.improve, work.round.of("gather")["rows"]
    form: str = rules.preferences if rules.preferences != "auto" else max(("dpo", "kto"), key=lambda name: rows[name])
    if form == "none" or rows[form] < rules.fewest_rows:
        why = "the rules leave it out" if form == "none" else _few(rows[form], rules.fewest_rows)
        work.round.done("preference data", form=form, dataset=None, why=why)
        return True
    if work.round.of("gather")["start"] == "base" and work.round.of("sft")["run"] is None:
        # Preferences alone would teach the bare base, which knows nothing of what the model in use has learnt.
        why = "this round begins at the base, and without the first training nothing would bring back what was learnt before"
        work.say(f"{form}: left out: {why}")
        work.round.done("preference data", form=form, dataset=None, why=why)
        return True
    dataset, why = _built(work, form, gathering.preference_recipe(work.round.folder, form, rules))
    work.round.done("preference data", form=form, dataset=dataset, why=why)
    return True


def _preferences(work: Work) -> bool:
    """Learn what people liked, from the adapter of the first training."""
    data, rules = work.round.of("preference data"), work.project.improve
    run = None
    if data["dataset"] is not None:
        start = work.round.of("sft")["run"] or work.production
        preset = rules.dpo if data["form"] == "dpo" else rules.kto
        run = _trained(work, data["form"], preset, data["dataset"], start, rules.preference_settings)
    candidate = run or work.round.of("sft")["run"]
    work.round.done("preferences", run=run, candidate=candidate)
    if candidate is None:
        reasons = f"{work.round.of('sft data')['why']}; {data['why']}"
        work.round.stands("rejected", f"nothing could be trained: {reasons}")
        return False
    return True


def _trained(work: Work, part: str, preset: str, data: str, model: str, settings: list[str]) -> str:
    """A run of the round."""
    wish = training.Wish(preset, data, model, settings, f"{work.round.record.name}-{part}", work.folder)
    return training.train(wish, work.workspace, work.say)


def _measure(work: Work) -> bool:
    """Measure the round's model beside the one in use; each report is noted when it is there."""
    candidate, reports = work.round.of("preferences")["candidate"], dict(work.round.record.begun.get("measure", {}))
    planned = measuring.plans(work.project, work.folder, work.round.of("sft data")["questions"])
    for what, (suite, data) in planned.items():
        if what in reports:
            continue
        work.say(f"measuring {candidate} beside {work.production}: {what}")
        dataset = work.round.of("gather")["field"] if data == "field" else data
        place = work.workspace.find_dataset(dataset) if dataset is not None else None
        reports[what] = str(measuring.measure(suite, candidate, work.production, work.workspace, data=place))
        work.round.begin("measure", **{what: reports[what]})
    work.round.done("measure", reports=reports)
    return True


def _judge(work: Work) -> bool:
    """Say whether it is better, and write the round's report."""
    reports = measuring.read_reports(work.round.of("measure")["reports"])
    suite = measuring.suite_of(work.project, work.folder)
    better, reasons = measuring.verdict(reports, work.project.improve, suite)
    write_report(work.round, reports, better=better, reasons=reasons)
    work.round.done("judge", better=better, reasons=reasons)
    if not better:
        work.round.stands("rejected", f"not better than {work.production}: {_joined(reasons)}")
    return better


def _yes(work: Work) -> bool:
    """Somebody, or the rule, says yes."""
    if work.answer == "yes" or work.project.improve.promote == "rule":
        work.round.done("yes", by="a person" if work.answer == "yes" else "the rule")
        return True
    candidate = work.round.of("preferences")["candidate"]
    reasons = _joined(work.round.of("judge")["reasons"])
    work.round.stands("waiting", f"{candidate} is better than {work.production} ({reasons})")
    return False


def _joined(reasons: list[str]) -> str:
    """Reasons as one sentence."""
    return "; ".join(reason.rstrip(".") for reason in reasons)


def _unchanged(work: Work) -> None:
    """What is in use is what the round was measured against.

    Raises:
        UserError: somebody has put another run there, or the alias is gone.
    """
    alias = work.round.record.alias
    now = list_aliases(StatePaths.of(work.workspace).aliases).get(alias)
    if now is None or now["run"] != work.production:
        stands = "for nothing any more" if now is None else f"for {now['run']} now"
        raise UserError(
            f"round {work.round.record.number} was measured beside {work.production}, and {alias} stands {stands}. Give the "
            "round up (--no) and begin another."
        )


def _trial(work: Work) -> bool:
    """Try it on a share of the traffic, until it is shown to be no worse or goes back."""
    rules, paths = work.project.improve.canary, StatePaths.of(work.workspace)
    if rules is None:
        work.round.done("trial", kept="without a trial")
        return True
    _unchanged(work)
    if "trial" not in work.round.record.begun:
        candidate = work.round.of("preferences")["candidate"]
        other = list_canaries(paths.aliases).get(work.round.record.alias)
        if other is not None and other.run != candidate:
            raise UserError(
                f"{other.run} is on trial behind {work.round.record.alias} already. End that: studio serve canary --end"
            )
        found = bring(work.workspace, candidate, port=work.port, say=work.say)
        canary = start_canary(paths.aliases, work.round.record.alias, found.model, found.run, share=rules.share, by=rules.by)
        work.round.begin("trial", canary=vars(canary))
    return settle_trial(work.round, rules, work.workspace, work.say)


def _promote(work: Work) -> bool:
    """Put it behind the alias for everybody."""
    candidate, alias = work.round.of("preferences")["candidate"], work.round.record.alias
    path = StatePaths.of(work.workspace).aliases
    now = list_aliases(path).get(alias)
    if now is None or now["run"] != candidate:  # a round that was killed right after the switch finds it made
        _unchanged(work)
        found = bring(work.workspace, candidate, port=work.port, say=work.say)
        promote(path, alias, found.model, found.run)
    work.round.done("promote", run=candidate, before=work.production)
    work.round.stands("promoted", f"{alias} = {candidate} (was {work.production}; studio serve rollback takes it back)")
    return True


def _give_up(work: Work) -> None:
    """End a round; what it trained stays, and a trial that is running ends."""
    path = StatePaths.of(work.workspace).aliases
    candidate = work.round.of("preferences").get("candidate")
    canary = list_canaries(path).get(work.round.record.alias)
    if canary is not None and canary.run == candidate:
        from studio.serve.aliases import end_canary

        end_canary(path, work.round.record.alias)
    work.round.stands("given up", f"round {work.round.record.number} was given up before '{work.round.record.next_step}'")


_STEPS: dict[str, Callable[[Work], bool]] = {
    "gather": _gather,
    "sft data": _sft_data,
    "sft": _sft,
    "preference data": _preference_data,
    "preferences": _preferences,
    "measure": _measure,
    "judge": _judge,
    "yes": _yes,
    "trial": _trial,
    "promote": _promote,
}
