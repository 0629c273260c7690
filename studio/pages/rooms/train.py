"""Training: choose a Dataset and a preset, change what should differ, see what it takes, and start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.jobs.records import active_jobs
from studio.pages import plans
from studio.pages.answers import ask, known_answer
from studio.pages.choosing import Choice, Rows, Wrong, find_preset_here, find_rows, rows_choices
from studio.pages.filled import Filled, filled_from_address, filled_from_form
from studio.pages.offered import bases_for, presets_for
from studio.pages.own_presets import own_preset, save_preset
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, render
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin, begin_and_show
from studio.train.kinds import RUN_KINDS, RunKind, preset_kind

_COMMON = (
    "epochs", "steps", "learning_rate", "batch_size", "max_length", "lora.rank", "resolution", "horizon", "season_length",
    "estimator.epochs", "estimator.steps", "estimator.learning_rate", "estimator.batch_size", "estimator.C", "estimator.trees",
    "estimator.rounds", "estimator.alpha", "estimator.k", "estimator.k_max", "estimator.min_cluster_size", "grpo.rewards",
    "distill.teacher", "preference.beta", "dreambooth.prompt", "inversion.word", "imbalance",
)  # fmt: skip


_PROBED = frozenset({"chat", "diffusion", "embedding", "reranker"})
"""Kinds whose plans can take a few real steps."""


@dataclass(frozen=True)
class Scene:
    """What the page is about. rows None: there is no Dataset. filled None: the preset cannot be read, and ``wrong`` says why."""

    rows: Rows | None
    preset: str
    filled: Filled | None
    wrong: tuple[Wrong, ...] = ()


def _shown(request: Request) -> Response:
    """The page."""
    scene = _scene_of_address(request)
    return _page(request, scene, 422 if scene.wrong else 200)


def _scene_of_address(request: Request) -> Scene:
    """What an address asks for; what it leaves open is proposed."""
    asked, workspace = request.query_params, workspace_of(request)
    reference = asked.get("data", "")
    if not reference:
        known = rows_choices(workspace)
        if not known:
            return Scene(None, "", None)
        reference = known[0][0]
    rows = find_rows(workspace, reference)
    fitting, others = presets_for(rows)
    preset = asked.get("preset", "") or next((each.name for each in [*fitting, *others]), "")
    settings = tuple(each.replace("\0", "") for each in asked.getlist("set") if each)
    model, name = (asked.get(key, "").replace("\0", "") for key in ("model", "name"))
    choice = Choice(rows.reference, preset, model, name, settings)
    try:
        filled = filled_from_address(choice, workspace)
    except StudioError as error:
        return Scene(rows, preset, None, (Wrong(str(error), "preset"),))
    return Scene(rows, preset, filled, filled.wrong)


def _scene_of_form(request: Request) -> Scene:
    """What a form sent.

    Raises:
        UserError: there is no such Dataset or preset any more.
    """
    form, workspace = posted(request), workspace_of(request)
    rows = find_rows(workspace, text_of(form, "data"))
    preset = text_of(form, "preset")
    bases = bases_for(preset_kind(find_preset_here(preset, workspace)).name, workspace)
    may_name = request.state.visitor.may("administer")
    filled = filled_from_form(form, rows.reference, workspace, None if may_name else bases.names)
    return Scene(rows, preset, filled, filled.wrong)


def _page(request: Request, scene: Scene, status: int = 200, **more: Any) -> Response:
    """The page of a scene."""
    workspace = workspace_of(request)
    datasets = rows_choices(workspace)
    if scene.rows is None:
        return render(request, "train/none.html", title=t("Train"))
    fitting, others = presets_for(scene.rows)
    listed = next((each for each in [*fitting, *others] if each.name == scene.preset), None)
    values: dict[str, Any] = {"rows": scene.rows, "datasets": datasets, "fitting": fitting, "others": others, "listed": listed}
    wrong = {each.field: each.sentence for each in reversed(scene.wrong)}
    values |= {
        "preset": scene.preset,
        "wrong": wrong,
        "filled": scene.filled,
        "saved": None,
        "changed": False,
        "trials": "20",
    } | more
    if scene.filled is not None:
        kind: RunKind = RUN_KINDS.get(scene.filled.kind)
        known = {field.name for field in scene.filled.fields.values()}
        common = [name for name in _COMMON if name in known and scene.filled.matters(name.rpartition(".")[0])]
        values |= {"bases": bases_for(kind.name, workspace), "kind": kind.name, "common": common}
        values |= {"rivals": [each for each in fitting if each.kind == kind.name] if _comparable(kind) else []}
        values |= {"masked": kind.name == "chat", "yaml": own_preset(scene.filled.preset) if scene.filled.preset else ""}
        if scene.filled.choice is not None:
            values |= _asked_values(request, scene.filled.choice, kind.name)
    return render(request, "train/train.html", status, title=t("Train"), **values)


def _asked_values(request: Request, choice: Choice, kind: str) -> dict[str, Any]:
    """What the parts of the page need that commands answer."""
    workspace = workspace_of(request)
    about = choice.about(workspace)
    answer = known_answer(workspace, choice.plan(), about)
    measured = known_answer(workspace, [*choice.plan(), "--probe"], about)
    shown = measured if measured is not None and (measured.value is not None or measured.pending) else answer
    mask = known_answer(workspace, plans.mask_command(choice, workspace), about) if kind == "chat" else None
    return {
        "choice": choice,
        "plan": plans.view_of(shown),
        "before": _queue(request),
        "probes": kind in _PROBED,
        "mask": mask,
        "shown_rows": plans.tokens_of(mask.value) if mask is not None else [],
    }


def _queue(request: Request) -> int:
    """How many jobs a training that was started now would wait for."""
    jobs = active_jobs(workspace_of(request))
    return sum(1 for job in jobs if job.record.queued)


def _values_of_address(request: Request) -> dict[str, Any]:
    """What a part of the page shows.

    Raises:
        UserError: what is asked for cannot be trained.
    """
    scene = _scene_of_address(request)
    if scene.filled is None or scene.filled.choice is None:
        raise UserError(scene.wrong[0].sentence if scene.wrong else t("There is no Dataset yet."))
    return _asked_values(request, scene.filled.choice, scene.filled.kind)


def _plan_part(request: Request) -> Response:
    """The part of the page that says what it takes."""
    values = _values_of_address(request)
    response = render(request, "train/plan.html", **values, changed=False)
    if values["plan"].state not in {"pending", "none"}:
        response.headers["x-studio-over"] = "1"
    return response


def _mask_part(request: Request) -> Response:
    """The part of the page that shows what carries loss."""
    values = _values_of_address(request)
    response = render(request, "train/mask.html", **values)
    if values["mask"] is not None and not values["mask"].pending:
        response.headers["x-studio-over"] = "1"
    return response


def _checked(request: Request) -> Response:
    """Look at what was typed; what is right gets an address of its own, and its plan is begun."""
    scene = _scene_of_form(request)
    if scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    choice, workspace = scene.filled.choice, workspace_of(request)
    ask(request, choice.plan(), choice.about(workspace), anew=_is_over_and_failed(request, choice))
    return go_to(choice.address())


def _is_over_and_failed(request: Request, choice: Choice) -> bool:
    """True where a plan came to nothing, so that asking again is worth it."""
    answer = known_answer(workspace_of(request), choice.plan(), choice.about(workspace_of(request)))
    return answer is not None and answer.value is None


def _planned(request: Request) -> Response:
    """Have the plan made, anew where it is asked for, or with a few real steps."""
    scene = _scene_of_form(request)
    if scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    choice, form = scene.filled.choice, posted(request)
    probe = ["--probe"] if form.get("probe") else []
    ask(request, [*choice.plan(), *probe], choice.about(workspace_of(request)), anew=bool(form.get("anew") or probe))
    return go_to(choice.address())


def _masked(request: Request) -> Response:
    """Have some rows shown as the model sees them."""
    scene = _scene_of_form(request)
    if scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    choice, workspace = scene.filled.choice, workspace_of(request)
    ask(request, plans.mask_command(choice, workspace), choice.about(workspace), anew=True)
    return go_to(choice.address() + "#mask")


def _started(request: Request) -> Response:
    """Start the training, once it is known to fit or the person says so."""
    scene = _scene_of_form(request)
    if scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    choice, workspace, form = scene.filled.choice, workspace_of(request), posted(request)
    view = _asked_values(request, choice, scene.filled.kind)["plan"]
    if view.state != "fits" and not form.get("sure"):
        ask(request, choice.plan(), choice.about(workspace))
        return _page(request, scene, 409, changed=True)
    job = begin(request, choice.train())
    return go_to(f"/jobs/{job.id}?follow=run")


def _searched(request: Request) -> Response:
    """Start a search for better settings around what was chosen."""
    scene, trials = _scene_of_form(request), text_of(posted(request), "trials").strip()
    if scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    if not trials.isdigit() or int(trials) < 1:
        wrong = Wrong(f"--trials {trials}: a search needs at least one trial beside the preset's own settings.", "trials")
        return _page(request, replace(scene, wrong=(wrong,)), 422, trials=trials)
    return begin_and_show(request, scene.filled.choice.search(trials))


def _compared(request: Request) -> Response:
    """Start a comparison of presets on the same rows."""
    scene = _scene_of_form(request)
    if scene.rows is None or scene.filled is None or scene.filled.choice is None:
        return _page(request, scene, 422)
    known = {each.name for group in presets_for(scene.rows) for each in group}
    chosen = [name for each in posted(request).getlist("against") if (name := str(each)) in known]
    if not chosen:
        return _page(
            request, replace(scene, wrong=(Wrong("compare takes two presets or more. Choose another one.", "against"),)), 422
        )
    return begin_and_show(request, scene.filled.choice.compare([scene.preset, *chosen]))


def _comparable(kind: RunKind) -> bool:
    """True for kinds whose presets can be held against each other on parts of the rows."""
    return kind.rehearses or type(kind).examples is not RunKind.examples


def _saved(request: Request) -> Response:
    """Keep what was chosen as a preset of one's own."""
    scene = _scene_of_form(request)
    if scene.filled is None or scene.filled.choice is None or scene.filled.preset is None:
        return _page(request, scene, 422)
    form, choice = posted(request), scene.filled.choice
    try:
        name = save_preset(scene.filled.preset, text_of(form, "own_name").strip(), text_of(form, "own_says").strip())
    except UserError as error:
        typed = {"own_name": text_of(form, "own_name"), "own_says": text_of(form, "own_says")}
        return _page(request, replace(scene, wrong=(Wrong(str(error), "own_name"),)), 422, saved=typed)
    return go_to(replace(choice, preset=name, settings=(), model="").address())


ROUTES = [
    Route("/train", _shown),
    Route("/train/plan", _plan_part, methods=["GET"]),
    Route("/train/plan", allowed("train", _planned), methods=["POST"]),
    Route("/train/mask", _mask_part, methods=["GET"]),
    Route("/train/mask", allowed("train", _masked), methods=["POST"]),
    Route("/train/check", allowed("train", _checked), methods=["POST"]),
    Route("/train/start", allowed("train", _started), methods=["POST"]),
    Route("/train/search", allowed("train", _searched), methods=["POST"]),
    Route("/train/compare", allowed("train", _compared), methods=["POST"]),
    Route("/train/save", allowed("train", _saved), methods=["POST"]),
]
