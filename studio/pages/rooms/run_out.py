"""Taking a Run out: other forms of it, each with its proof, and folders for the places where people will use it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.content import find_content, list_content
from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size
from studio.core.records import read_record
from studio.core.runs import RunSummary
from studio.core.workspace import Workspace
from studio.pages.options import count_of
from studio.pages.packing import zipped
from studio.pages.posted import posted, text_of
from studio.pages.rendering import render
from studio.pages.rooms.run_parts import card_html, find, tabs
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.work import begin_and_show

_UNTYPED = dict.fromkeys(("to", "quant", "dtype", "rank", "place", "profile", "settings"), "")


@dataclass(frozen=True)
class Made:
    """Something that was written of a Run.

    form: with its quantisation. path: below the run's folder, None where it lies elsewhere. proof: figure to words. there: it is
    still where it was written.
    """

    form: str
    where: str
    path: str | None
    bytes: int | None
    runtime: str
    proof: dict[str, str]
    there: bool


def _shown(request: Request, wrong: dict[str, str] | None = None, typed: dict[str, str] | None = None) -> Response:
    """Forms and places for this Run, and what was written already."""
    run, workspace = find(request), workspace_of(request)
    kind = run.record.kind if run.record else ""
    values = {
        "run": run, "tabs": tabs(run), "tab": "out", "made": made_of(run), "forms": _forms(kind), "places": _places(kind),
        "deployed": deployed_of(run, workspace), "profiles": _profiles(), "wrong": wrong or {}, "typed": _UNTYPED | (typed or {}),
        "exporting": ["export", run.reference, "--to", "FORM"], "deploying": ["deploy", run.reference, "--to", "PLACE"],
    }  # fmt: skip
    return render(request, "runs/out.html", 422 if wrong else 200, **values, title=run.reference)


def _forms(kind: str) -> list[dict[str, Any]]:
    """The forms that Runs of a kind can be written in."""
    from studio.core.environments import find_python
    from studio.exports.forms import NUMBER_TYPES, forms

    found = []
    for name, each in forms().items():
        for form in (one for one in each if kind in one.kinds):
            missing = False
            if form.environment is not None:
                try:
                    find_python(form.environment)
                except UserError:
                    missing = True
            found.append(
                {
                    "name": name, "what": form.what, "takes": form.takes, "quants": form.quants, "types": NUMBER_TYPES,
                    "environment": form.environment.name if form.environment else None, "missing": missing,
                }
            )  # fmt: skip
    return found


def _places(kind: str) -> list[dict[str, Any]]:
    """The places that Runs of a kind can go to."""
    from studio.deploy.places import places

    return [{"name": name, "what": place.what} for name, place in places().items() if kind in place.kinds]


def _profiles() -> list[str]:
    """Names of server profiles, as ``--profile`` takes them."""
    return [name.removeprefix("servers/") for name in list_content("apps") if name.startswith("servers/")] or ["team"]


def made_of(run: RunSummary) -> list[Made]:
    """What was exported of a Run: what noted its proof, then plain copies of its weights in their usual places."""
    from studio.exports.forms import forms
    from studio.models.exported import read_exports

    try:
        lines = read_exports(run.folder)
    except StudioError:
        lines = []
    found = []
    for line in lines:
        place = Path(line.path)
        inside = place.resolve().is_relative_to(run.folder.resolve())
        path = place.resolve().relative_to(run.folder.resolve()).as_posix() if inside else None
        form = f"{line.form} ({line.quant})" if line.quant else line.form
        found.append(Made(form, str(place), path, line.bytes, line.runtime, line.proof, place.exists()))
    known = {one.path for one in found}
    kind = run.record.kind if run.record else ""
    for name, each in forms().items():
        for form_ in (one for one in each if kind in one.kinds and "QUANT" not in one.place):
            usual = run.folder / form_.place.replace("NAME", run.folder.parent.name)
            path = usual.relative_to(run.folder).as_posix()
            if usual.exists() and path not in known:
                size = folder_size(usual) if usual.is_dir() else usual.stat().st_size
                found.append(Made(name, str(usual), path, size, "", {}, True))
    return found


def _export(request: Request) -> Response:
    """Write the Run in another form."""
    from studio.exports.forms import Wishes, checked, form_for

    run, form = find(request), posted(request)
    to, quant, dtype, rank = (text_of(form, name).strip() for name in ("to", "quant", "dtype", "rank"))
    typed = {"to": to, "quant": quant, "dtype": dtype, "rank": rank}
    words = ["export", run.reference, "--to", to]
    for name in ("quant", "dtype", "rank"):
        words += [f"--{name}", typed[name]] if typed[name] else []
    try:
        count = count_of(rank, "--rank", "export") if rank else None
        written = form_for(to, run.folder)
        wishes = Wishes(dtype=dtype or None, rank=count, quant=quant or None)  # type: ignore[arg-type]
        checked(written, to, wishes)
        written.target(run.folder, None, quant or None)
    except UserError as error:
        return _shown(request, {f"export-{to}": str(error)}, typed)
    return begin_and_show(request, words)


def _install(request: Request) -> Response:
    """Install what a form needs into a folder of its own."""
    from studio.exports.forms import environments

    name = text_of(posted(request), "environment")
    if name not in environments():
        raise HTTPException(404)
    return begin_and_show(request, ["export", "--install", name])


def _deploy(request: Request) -> Response:
    """Write a folder for a place."""
    from studio.deploy.places import place_for
    from studio.deploy.quoting import slug_of
    from studio.schema.loading import load_yaml
    from studio.schema.server import ServerProfile

    run, workspace, form = find(request), workspace_of(request), posted(request)
    to, profile = text_of(form, "to"), text_of(form, "profile") or "team"
    settings = [line.strip() for line in text_of(form, "settings").splitlines() if line.strip()]
    typed = {"place": to, "profile": profile, "settings": text_of(form, "settings")}
    wrong: dict[str, str] = {}
    try:
        place_for(to, run.folder)
    except UserError as error:
        wrong["place"] = str(error)
    try:
        if profile not in _profiles():
            raise UserError(f"unknown server profile {profile!r}. Known: {', '.join(_profiles())}")
        load_yaml(find_content("apps", profile), ServerProfile, settings)
    except StudioError as error:
        wrong["settings" if settings else "profile"] = str(error)
    if wrong:
        return _shown(request, wrong, typed)
    target = _free(deploy_folder(workspace) / f"{slug_of(run.folder.parent.name)}-{to}")
    words = ["deploy", run.reference, "--to", to, "--out", str(target)]
    words += ["--profile", profile] if profile != "team" else []
    for setting in settings:
        words += ["--set", setting]
    return begin_and_show(request, words)


def deploy_folder(workspace: Workspace) -> Path:
    """Where pages put the folders of places."""
    return workspace.root / "deploy"


def _free(folder: Path) -> Path:
    """The folder, or the first free one with a number behind: nothing is overwritten."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate


def deployed_of(run: RunSummary, workspace: Workspace) -> list[dict[str, Any]]:
    """Folders of places that were written of a Run, the newest first."""
    from studio.deploy.writing import RECORD, DeployRecord

    found = []
    files = sorted(deploy_folder(workspace).glob(f"[!.]*/{RECORD}"), key=lambda file: file.parent.name)
    for file in files:
        try:
            record = read_record(file, DeployRecord)
        except StudioError:
            continue
        if run.record is not None and record.run.get("id") == run.record.id:
            size = folder_size(file.parent)
            found.append({"name": file.parent.name, "place": record.place, "limits": record.limits, "bytes": size})
    return found


def _deployed(request: Request) -> Response:
    """The page of a folder: what was checked, how it is begun, its files."""
    run, workspace = find(request), workspace_of(request)
    folder = _one_deployed(run, workspace, request.path_params["folder"])
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return render(
        request, "runs/deployed.html", run=run, tabs=tabs(run), tab="out", folder=folder, files=files,
        text=card_html(folder / "README.md"), command=["deploy", "--check", str(folder)], title=folder.name,
    )  # fmt: skip


def _one_deployed(run: RunSummary, workspace: Workspace, name: str) -> Path:
    """A folder that was written of the Run.

    Raises:
        HTTPException: 404; there is none.
    """
    if name not in {one["name"] for one in deployed_of(run, workspace)}:
        raise HTTPException(404)
    return content_path(deploy_folder(workspace), name)


def _deployed_zip(request: Request) -> Response:
    """The folder as a download."""
    folder = _one_deployed(find(request), workspace_of(request), request.path_params["folder"])
    return zipped(folder, folder.name)


def _export_zip(request: Request) -> Response:
    """An export as a download; only what was written of this Run, and lies in its folder."""
    run = find(request)
    path = request.query_params.get("what", "")
    if path not in {one.path for one in made_of(run) if one.there and one.path}:
        raise HTTPException(404)
    return zipped(content_path(run.folder, *path.split("/")), _file_name([run.folder.parent.name, *path.split("/")]))


def _file_name(parts: Sequence[str]) -> str:
    """A name that every system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-.") or "export"


def warm() -> None:
    """Import what the first visit would wait for."""
    from studio.deploy.places import places
    from studio.exports.forms import forms

    forms()
    places()


ROUTES = [
    Route("/runs/{name}/{id}/out", _shown),
    Route("/runs/{name}/{id}/out/export", allowed("train", _export), methods=["POST"]),
    Route("/runs/{name}/{id}/out/install", allowed("administer", _install), methods=["POST"]),
    Route("/runs/{name}/{id}/out/deploy", allowed("train", _deploy), methods=["POST"]),
    Route("/runs/{name}/{id}/out/zip", allowed("train", _export_zip)),
    Route("/runs/{name}/{id}/deployed/{folder}", _deployed),
    Route("/runs/{name}/{id}/deployed/{folder}/zip", allowed("train", _deployed_zip)),
]
