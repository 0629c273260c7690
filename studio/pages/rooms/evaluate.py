"""Evaluate: which suite measures a run, beside what, on which rows; the measuring itself is ``studio eval``, as a job."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import ConfigError, UserError
from studio.core.runs import RunSummary, settings_of, summarize_run
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.jobs.records import find_job, log_text
from studio.pages.measured import places_in, reports_of
from studio.pages.options import count_of
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, lead_on, render
from studio.pages.rooms import evaluated, suites
from studio.pages.rooms.jobs import job_values
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin

# So many runs stand in the list from which one is chosen; others by their name.
_LISTED = 24


@dataclass
class Asked:
    """What the form says, as it was typed."""

    runs: list[str] = field(default_factory=list)
    suite: str = ""
    baseline: str = "base"
    data: str = ""
    limit: str = ""
    gate: bool = False
    settings: str = ""

    @property
    def overrides(self) -> list[str]:
        """``--set`` values, one a line."""
        return [line.strip() for line in self.settings.splitlines() if line.strip()]

    def arguments(self, workspace: Workspace) -> list[str]:
        """The command that does it."""
        words = ["eval", suites.argument(self.suite, workspace)]
        for run in self.runs:
            words += ["--model", run]
        words += ["--baseline", self.baseline] if self.baseline != "base" else []
        words += ["--data", self.data] if self.data else []
        words += ["--limit", self.limit.strip()] if self.limit.strip() else []
        for override in self.overrides:
            words += ["--set", override]
        return words + (["--gate"] if self.gate else [])


def _home(request: Request) -> Response:
    """All reports; the form where a run is named, or nothing was measured yet."""
    if "run" in request.query_params or not reports_of(workspace_of(request)):
        return _form(request)
    return evaluated.listed(request)


def _form(request: Request, asked: Asked | None = None, wrong: dict[str, str] | None = None) -> Response:
    """What is measured, with what and beside what."""
    workspace = workspace_of(request)
    query = request.query_params
    finished = _finished(workspace, query.get("q", ""))
    if asked is None:
        runs = list(dict.fromkeys(query.getlist("run")))
        asked = Asked([_reference(run, workspace) for run in runs] or [run.reference for run in finished[:1]])
        asked.suite = query.get("suite", "")
    chosen = [summarize_run(workspace.runs / reference) for reference in asked.runs]
    known = [run for run in chosen if run.record is not None]
    fitting = _fitting(known, workspace)
    if asked.suite not in {choice.value for choice in fitting if choice.suite}:
        asked.suite = _usual(known, fitting)
    kinds = {run.record.kind for run in known if run.record}
    values = {
        "asked": asked, "chosen": chosen, "fitting": fitting, "wrong": wrong or {},
        "others": [run for run in finished if run.record and run.record.kind in kinds and run.reference not in asked.runs],
        "listed": list({run.reference: run for run in [*known, *finished]}.values()),
        "datasets": [f"{folder.parent.name}/{folder.name}" for folder in workspace.list_datasets()],
        "command": asked.arguments(workspace) if asked.suite and asked.runs else None,
        "query": query.get("q", ""), "any_run": bool(finished or workspace.list_runs()), "tab": "new",
    }  # fmt: skip
    return render(request, "evaluate/form.html", 422 if wrong else 200, **values, title=t("Evaluate"))


def _begin(request: Request) -> Response:
    """Start the measuring, or say at the field what cannot be."""
    workspace = workspace_of(request)
    form = posted(request)
    asked = _asked(form)
    wrong = _mistakes(asked, workspace)
    if wrong or form.get("do") == "show":
        asked.runs = [run for run in asked.runs if (workspace.runs / run / "run.json").is_file()]
        return _form(request, asked, wrong)
    return go_to(f"/evaluate/running/{begin(request, asked.arguments(workspace)).id}")


def _asked(form: FormData) -> Asked:
    """What was sent."""
    runs = [str(run) for run in form.getlist("run")]
    return Asked(
        list(dict.fromkeys(runs)), text_of(form, "suite"), text_of(form, "baseline") or "base", text_of(form, "data"),
        text_of(form, "limit"), form.get("gate") is not None, text_of(form, "settings"),
    )  # fmt: skip


def _mistakes(asked: Asked, workspace: Workspace) -> dict[str, str]:
    """Field to what is wrong with it, in the words of the command."""
    wrong: dict[str, str] = {}
    if not asked.runs:
        wrong["run"] = "no model is named. Give one with --model RUN (studio runs list shows them)."
    for run in asked.runs:
        with _told(wrong, "run"):
            _reference(run, workspace)
    if asked.limit.strip():
        with _told(wrong, "limit"):
            count_of(asked.limit, "--limit", "eval")
    if asked.data:
        with _told(wrong, "data"):
            _dataset(asked.data, workspace)
    if asked.baseline not in {"base", "none"}:
        with _told(wrong, "baseline"):
            _reference(asked.baseline, workspace)
    return wrong | _mistakes_of_suite(asked, workspace)


def _mistakes_of_suite(asked: Asked, workspace: Workspace) -> dict[str, str]:
    """What is wrong with the suite, with what was changed of it, or with asking it for a gate."""
    from studio.evals.suites import check_has_thresholds, load_suite

    wrong: dict[str, str] = {}
    with _told(wrong, "suite"):
        name = suites.argument(asked.suite, workspace)
        load_suite(name)
        with _told(wrong, "settings"):
            changed = load_suite(name, asked.overrides)
            with _told(wrong, "gate"):
                if asked.gate:
                    check_has_thresholds(changed)
    return wrong


class _told:  # noqa: N801 - reads as a word of the block it stands before
    """Puts the sentence of an error beside a field."""

    def __init__(self, wrong: dict[str, str], name: str) -> None:
        self._wrong, self._name = wrong, name

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Keep a person's mistake; everything else goes on."""
        if not isinstance(error, UserError | ConfigError):
            return False
        self._wrong.setdefault(self._name, str(error))
        return True


def _reference(run: str, workspace: Workspace) -> str:
    """``name/id`` of a Run of the workspace, however it was named; never one of another folder.

    Raises:
        UserError: there is none.
    """
    if Path(run).is_absolute() or ".." in Path(run).parts or run.startswith(("~", ".")):
        raise UserError(f"there is no run {run!r} in {workspace.runs}. See: studio runs list")
    folder = workspace.find_run(run)
    if not folder.is_relative_to(workspace.runs):
        raise UserError(f"there is no run {run!r} in {workspace.runs}. See: studio runs list")
    return f"{folder.parent.name}/{folder.name}"


def _dataset(name: str, workspace: Workspace) -> None:
    """Refuse what is no Dataset of the workspace.

    Raises:
        UserError: there is none of that name.
    """
    if name not in {f"{folder.parent.name}/{folder.name}" for folder in workspace.list_datasets()}:
        raise UserError(f"there is no dataset {name!r} in {workspace.datasets}. Built: {workspace.built_names() or 'none'}.")


def _finished(workspace: Workspace, words: str) -> list[RunSummary]:
    """Newest runs that have a model, of those whose name holds the words."""
    found: list[RunSummary] = []
    for folder in workspace.list_runs():
        if words.lower() in f"{folder.parent.name}/{folder.name}".lower():
            run = summarize_run(folder)
            if run.status == "finished":
                found.append(run)
        if len(found) == _LISTED:
            break
    return found


def _fitting(runs: list[RunSummary], workspace: Workspace) -> list[suites.Choice]:
    """Suites that can measure all of the runs; those with a mistake stand last, with it."""
    from studio.evals.fitting import fits

    if not runs:
        return []
    asked = {(run.record.kind, settings_of(run.folder).get("objective")) for run in runs if run.record}
    choices = suites.all_suites(workspace)
    good = [one for one in choices if one.suite and all(fits(one.suite, kind, objective) for kind, objective in asked)]
    return good + [one for one in choices if one.own and not one.suite]


def _usual(runs: list[RunSummary], fitting: list[suites.Choice]) -> str:
    """The suite that is chosen at first: the usual one of the kind."""
    from studio.train.kinds import RUN_KINDS

    values = [choice.value for choice in fitting if choice.suite]
    kind = runs[0].record.kind if runs and runs[0].record else ""
    usual = RUN_KINDS.get(kind).suite if kind in RUN_KINDS else ""
    return usual if usual in values else next(iter(values), "")


def _running(request: Request) -> Response:
    """An evaluation on its way."""
    values = _progress(request)
    return render(request, "evaluate/running.html", **values, title=t("Evaluation"))


def _running_live(request: Request) -> Response:
    """The part of it that changes; leads on to the report where there is one."""
    values = _progress(request)
    response = render(request, "evaluate/running-live.html", **values)
    if values["job"].over:
        response.headers["x-studio-over"] = "1"
        if len(values["reports"]) == 1 and "watched" in request.query_params:
            lead_on(response, values["reports"][0].address)
    return response


# ``conversation: tuned: answers  6/60 rows  10%  11 rows/s``
_BAR = re.compile(r"^(?P<what>\S.*?)  (?P<done>\d+)/(?P<total>\d+) \w+", re.MULTILINE)


def _progress(request: Request) -> dict[str, Any]:
    """How far it is: the line of its newest bar, and the reports it has written."""
    workspace = workspace_of(request)
    job = find_job(workspace, request.path_params["id"])
    if job.record.arguments[0] != "eval":
        raise HTTPException(404)
    text = log_text(job, 200_000)
    bars = list(_BAR.finditer(text))
    bar = {"what": bars[-1]["what"], "done": int(bars[-1]["done"]), "total": int(bars[-1]["total"])} if bars else None
    return job_values(request, job) | {"bar": bar, "reports": places_in(text, workspace)}


def warm() -> None:
    """Import and read what the first visit would wait for."""
    import studio.evals.score_table  # noqa: F401

    suites.all_suites(Workspace.open())


ROUTES = [
    Route("/evaluate", _home),
    Route("/evaluate/new", lambda request: _form(request)),
    Route("/evaluate/new", allowed("train", _begin), methods=["POST"]),
    Route("/evaluate/running/{id}", _running),
    Route("/evaluate/running/{id}/live", _running_live),
    *suites.ROUTES,
    *evaluated.ROUTES,
]
