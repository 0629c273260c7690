"""``studio feedback``: what users said. Statistics, export as training data, drift, settings, and forgetting a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.core.errors import GateNotMetError, UserError, nearest

if TYPE_CHECKING:
    from studio.feedback.store import FeedbackStore
    from studio.feedback.wins import Standing

app = typer.Typer(help="What users said of the answers: statistics, export, drift, forget.")


def open_store() -> FeedbackStore:
    """The feedback file of the workspace.

    Raises:
        DataError: there is none yet.
    """
    from studio.feedback.store import FILE_NAME, FeedbackStore

    return FeedbackStore.existing(output.open_workspace().root / FILE_NAME)


@app.command("stats")
def stats() -> None:
    """Requests, thumbs, corrections and votes of each model."""
    from studio.feedback.export import RECIPE
    from studio.feedback.summary import summarize

    store = open_store()
    models, counts, settings = summarize(store), store.counts(), store.settings()
    if output.json_wanted():
        output.emit_json({"models": models, "rows": counts, "settings": settings, "file": str(store.path)})
        return
    output.table(
        ["model", "requests", "failed", "cut", "p50 s", "p95 s", "up", "down", "corrections", "votes won", "votes lost"],
        [
            [
                model.model,
                model.requests,
                model.failed,
                model.cut,
                model.seconds_median,
                model.seconds_95,
                model.up,
                model.down,
                model.corrections,
                model.votes_won,
                model.votes_lost,
            ]
            for model in models
        ],
        right=["requests", "failed", "cut", "p50 s", "p95 s", "up", "down", "corrections", "votes won", "votes lost"],
        empty="Nothing was asked or said yet.",
    )
    texts = "with their words" if settings.keep_texts else "without their words"
    output.say(f"Requests are kept {texts}, {_days(settings.request_days)}; what people said {_days(settings.feedback_days)}.")
    output.say(f"File: {store.path}. Training data from it: studio feedback export, or the recipe {RECIPE}.")


@app.command("votes")
def votes(
    model: Annotated[str | None, typer.Option("--model", help="Only what this model was compared in.")] = None,
) -> None:
    """Win rate of each two models that the compare app's votes set side by side, with its interval; ties stated."""
    from studio.feedback.wins import standings

    every = standings(open_store())
    known = sorted({name for standing in every for name in (standing.one, standing.two)})
    if model is not None and model not in known:
        raise UserError(f"nobody voted on {model!r}.{nearest(model, known)} Voted on: {', '.join(known) or 'nothing yet'}.")
    found = [standing for standing in every if model is None or model in {standing.one, standing.two}]
    if output.json_wanted():
        output.emit_json([_standing(standing) for standing in found])
        return
    counts = ("model", "against", "won", "lost", "ties", "people")
    rows = [[line[name] for name in counts] + _rate(line) for line in map(_standing, found)]
    output.table(
        [*counts, "win rate", "95% interval", "p", "verdict"],
        rows,
        right=["won", "lost", "ties", "people", "win rate", "95% interval", "p"],
        empty="Nobody voted yet. Votes are given in the compare app: studio app compare RUN",
    )
    if found:
        output.say(
            "\nThe win rate leaves ties out. Interval: Wilson's, 95%; p: exact sign test. Both take every vote for itself: "
            "many votes of one person say less than as many of many."
        )


def _standing(standing: Standing) -> dict[str, Any]:
    """The votes between two models as one JSON object; the model with more votes comes first."""
    wins = standing.wins
    low, high = wins.interval or (None, None)
    verdict = {True: "preferred", False: "the other is preferred", None: "no difference shown"}[wins.preferred]
    counts = {"won": wins.won, "lost": wins.lost, "ties": wins.ties, "people": standing.people}
    rate = {"win_rate": wins.share, "low": low, "high": high, "p": wins.p, "verdict": verdict}
    return {"model": standing.one, "against": standing.two, **counts, **rate}


def _rate(line: dict[str, Any]) -> list[object]:
    """Win rate, interval, p-value and verdict as a table shows them."""
    if line["win_rate"] is None:
        return [None, None, None, line["verdict"]]
    interval = f"{100 * line['low']:.0f}% to {100 * line['high']:.0f}%"
    return [f"{100 * line['win_rate']:.0f}%", interval, f"{line['p']:.2g}", line["verdict"]]


@app.command("export")
def export(
    form: Annotated[
        str, typer.Option("--form", help="kto: thumbs; dpo: pairs from votes and corrections; sft: answers to imitate.")
    ] = "kto",
    to: Annotated[Path | None, typer.Option("--to", help="JSON lines file to write; without it they are printed.")] = None,
    per_user: Annotated[int, typer.Option("--per-user", min=1, help="At most so many judgements of one person.")] = 200,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only what was said of this model. May be repeated.")] = None,
    phone_region: Annotated[
        str | None, typer.Option("--phone-region", help="Country (SE) whose national phone numbers are replaced too.")
    ] = None,
) -> None:
    """Write what people said as training rows: scrubbed, de-duplicated, without questions that evaluations hold out."""
    from studio.core.files import write_text
    from studio.data.feedback import FORMS

    if form not in FORMS:
        known = FORMS.in_order()
        raise UserError(f"--form is {form!r}.{nearest(form, known)} Allowed: {', '.join(known)}.")
    given = {"per_user": per_user, "models": model or (), "phone_region": phone_region}
    lines, left_out = FORMS.get(form)(output.open_workspace(), form, **given)
    if to is not None:
        if to.exists():
            raise UserError(f"{to} exists already and is not overwritten. Give another name: --to FILE")
        write_text(to, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    for reason, count in sorted(left_out.items()):
        output.note(f"left out: {count} {reason}")
    if output.json_wanted():
        output.emit_json({"form": form, "rows": lines, "left_out": left_out, "file": str(to) if to else None})
    elif to is not None:
        output.say(f"{len(lines)} {form} rows written to {to}")
    elif lines:
        for line in lines:
            output.say(json.dumps(line, ensure_ascii=False))
    else:
        output.note(
            f"Nothing makes {form} rows: thumbs make kto rows (thumbs up sft rows too), votes and corrections dpo and sft rows."
        )


@app.command("forget")
def forget(
    user: Annotated[str, typer.Argument(help="Account or browser name, as 'studio feedback users' lists it.")],
) -> None:
    """Delete everything of one user: requests, thumbs, corrections, votes and annotations, with no copy left in the file."""
    store = open_store()
    known = store.users()
    if user not in known:
        raise UserError(f"nothing is kept of {user!r}.{nearest(user, known)} See: studio feedback users")
    deleted = store.forget(user)
    if output.json_wanted():
        output.emit_json({"user": user, "deleted": deleted})
        return
    what = ", ".join(f"{count} {table}" for table, count in deleted.items() if count)
    output.say(f"forgot {user}: {what} deleted from {store.path}")
    output.note("Datasets and exports made before still hold copies: build them again, and remove the old ones.")


@app.command("users")
def users() -> None:
    """List everyone of whom something is kept."""
    names = open_store().users()
    if output.json_wanted():
        output.emit_json(names)
        return
    output.table(["user"], [[name] for name in names], empty="Nothing is kept of anyone.")


@app.command("settings")
def settings(
    texts: Annotated[bool | None, typer.Option("--texts/--no-texts", help="Keep the words of requests, or delete them.")] = None,
    request_days: Annotated[
        str | None, typer.Option("--request-days", help="Days after which requests are deleted; 'forever' keeps them.")
    ] = None,
    feedback_days: Annotated[
        str | None, typer.Option("--feedback-days", help="The same for thumbs, corrections, votes and annotations.")
    ] = None,
) -> None:
    """Show or change what is kept and for how long."""
    changes: dict[str, Any] = {} if texts is None else {"keep_texts": texts}
    for name, value in (("request_days", request_days), ("feedback_days", feedback_days)):
        if value is not None:
            changes[name] = _number_of_days(name, value)
    from studio.feedback.store import FILE_NAME, FeedbackStore

    store = FeedbackStore(output.open_workspace().root / FILE_NAME)
    kept = store.change_settings(**changes) if changes else store.settings()
    if output.json_wanted():
        output.emit_json(kept)
        return
    output.pairs(
        [
            ("words of requests", "kept" if kept.keep_texts else "not kept"),
            ("requests", _days(kept.request_days)),
            ("thumbs, corrections, votes, annotations", _days(kept.feedback_days)),
        ]
    )


@app.command("drift")
def drift(
    reference_days: Annotated[int, typer.Option("--reference-days", min=1, help="Length of the window compared with.")] = 28,
    days: Annotated[int, typer.Option("--days", min=1, help="Length of the newest window.")] = 7,
    model: Annotated[str | None, typer.Option("--model", help="Only this model; without it each one apart.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 3 when something has changed.")] = False,
) -> None:
    """Say whether the newest days differ from those before: length, language, refusals, thumbs down, latency."""
    from studio.feedback.drift import compare_windows

    store = open_store()
    requests, ratings = store.rows("requests"), store.current_ratings()
    names = [model] if model else sorted({row["model"] for row in requests})
    findings = {name: compare_windows(requests, ratings, name, days=days, reference_days=reference_days) for name in names}
    alarms = [f"{name}: {finding.signal}" for name, found in findings.items() for finding in found if finding.alarm]
    if output.json_wanted():
        output.emit_json({"models": findings, "alarms": alarms})
    else:
        output.table(
            ["model", "signal", "before", "now", "n before", "n now", "measure", "value", "limit", "verdict"],
            [
                [name, one.signal, one.before, one.now, one.n_before, one.n_now, one.measure, one.value, one.limit, one.verdict]
                for name, found in findings.items()
                for one in found
            ],
            right=["n before", "n now", "value", "limit"],
            empty="Nothing was asked yet.",
        )
    if gate and alarms:
        raise GateNotMetError(f"the traffic has changed: {'; '.join(alarms)}.")


def _number_of_days(name: str, value: str) -> int | None:
    """A number of days, or None for ``forever``."""
    if value == "forever":
        return None
    if not value.isdigit():
        raise UserError(f"--{name.replace('_', '-')} is {value!r}: give a whole number of days, or 'forever'.")
    return int(value)


def _days(days: int | None) -> str:
    """How long something is kept, in words."""
    return "until someone is forgotten" if days is None else f"for {days} days"
