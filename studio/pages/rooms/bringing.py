"""Bringing data: files, what they hold, the recipe that reads them, and the build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.core.content import list_content
from studio.core.errors import ConfigError, StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import read_dataset
from studio.pages.looks import begin_look, look_arguments, look_at, shown_path
from studio.pages.posted import posted, text_of
from studio.pages.recipes import TakenError, line_of, list_recipes, recipe_path, save_recipe, state_of
from studio.pages.rendering import go_to, lead_on, render, trouble, visitor_of
from studio.pages.site import allowed, content_path, workspace_of
from studio.pages.uploads import MOST_BYTES, MOST_FILES, Upload, keep_upload, list_uploads, read_upload, uploads_folder
from studio.pages.work import begin_and_show

NEW, UPLOADS, RECIPE = "/data/-/new", "/data/-/uploads", "/data/-/recipe"


def _new(request: Request) -> Response:
    """Where data may come from."""
    return _choose(request)


def _choose(request: Request, *, wrong: str = "", status: int = 200) -> Response:
    """The page on which a file is brought, or a recipe chosen."""
    workspace = workspace_of(request)
    values = {
        "uploads": list_uploads(workspace), "recipes": [path.stem for path in list_recipes(workspace)],
        "shipped": _shipped(), "most_bytes": MOST_BYTES, "wrong": wrong,
    }  # fmt: skip
    return render(request, "data/new.html", status, **values, title=t("Bring data"))


def _shipped() -> list[tuple[str, str, bool]]:
    """Recipes that can be built: name, what it is, and whether a place has to be filled in first."""
    found = []
    for name, path in list_content("data_recipes").items():
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue
        said = re.search(r"^description:\s*(.+)$", text, re.MULTILINE)
        own = path.stem.startswith("own-") or "Copy this file" in text
        found.append((name, said[1].strip().strip("\"'") if said else "", own))
    return found


async def _upload(request: Request) -> Response:
    """Keep files that were sent, and have them looked at."""
    refused = allowed("train", lambda _: Response())(request)
    if refused.status_code != 200:
        return refused
    try:
        # Each file that is larger than a megabyte lies on disk while it comes in.
        async with request.form(max_files=MOST_FILES, max_fields=20) as form:
            sent = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
            files = [(str(one.filename), one.file) for one in sent]
            kept = await to_thread.run_sync(lambda: keep_upload(workspace_of(request), files, by=visitor_of(request).name))
    except (HTTPException, MultiPartException) as error:
        said = getattr(error, "detail", None) or str(error)
        return _choose(request, wrong=f"the files could not be read ({said.rstrip('.')}). Choose them again.", status=422)
    except UserError as error:
        return _choose(request, wrong=str(error), status=422)
    except StudioError as error:
        return _choose(request, wrong=str(error), status=507)
    except OSError as error:
        return _choose(request, wrong=f"the files could not be kept ({error.strerror}). Make room on the disk.", status=507)
    await to_thread.run_sync(begin_look, request, kept)
    return go_to(f"{UPLOADS}/{kept.record.id}")


def _upload_of(request: Request) -> Upload:
    """The upload of an address.

    Raises:
        HTTPException: 404; there is none.
    """
    folder = content_path(uploads_folder(workspace_of(request)), request.path_params["id"])
    return read_upload(folder)


def _shown(request: Request) -> Response:
    """What stands in an upload, and the recipe that reads it."""
    upload = _upload_of(request)
    job, found = look_at(request, upload)
    values = _looked(request, upload, found) | {"upload": upload, "job": job, "arguments": look_arguments(upload)}
    return render(request, "data/upload.html", **values, title=upload.title)


def _looked(request: Request, upload: Upload, found: dict[str, Any] | None) -> dict[str, Any]:
    """What was found, and the proposal that is shown."""
    proposals = found["proposals"] if found else []
    wanted = request.query_params.get("kind")
    chosen = next((one for one in proposals if one["kind"] == wanted), proposals[0] if proposals else None)
    why_not = str((found or {}).get("why_not") or "")
    for place in (f"{upload.place.parent}/", f"{shown_path(upload.place.parent)}/"):
        why_not = why_not.replace(place, "")
    values: dict[str, Any] = {"found": found, "proposals": proposals, "chosen": chosen, "why_not": why_not}
    if chosen is not None:
        name = _free(request, re.sub(r"[^A-Za-z0-9_.-]+", "-", upload.title.partition(".")[0]).strip("-._") or "mine")
        values |= _editor(name=name, text=chosen["text"])
    return values


def _free(request: Request, name: str) -> str:
    """A name for a recipe that none has yet."""
    known = {path.stem for path in list_recipes(workspace_of(request))}
    return next(one for one in (name, *(f"{name}-{number}" for number in range(2, len(known) + 3))) if one not in known)


def _editor(
    *, name: str, text: str, seen: str = "", wrong: str = "", place: str = "", taken: bool = False, saved: bool = False
) -> dict[str, Any]:
    """What the fields of a recipe need.

    Args:
        seen: the state of the file that is shown, empty for one that is not there yet.
        place: the field that ``wrong`` is about, ``name`` or ``text``.
    """
    known = {"name": name, "text": text, "seen": seen, "wrong": wrong, "wrong_place": place, "taken": taken, "saved": saved}
    return known | {"wrong_line": line_of(wrong)}


def _looking(request: Request) -> Response:
    """How far the look at an upload is; leads on when it is over."""
    upload = _upload_of(request)
    job, _ = look_at(request, upload)
    response = render(request, "data/looking.html", upload=upload, job=job)
    if job is None or job.over:
        lead_on(response, f"{UPLOADS}/{upload.record.id}")
    return response


def _again(request: Request) -> Response:
    """Look at an upload once more."""
    upload = _upload_of(request)
    begin_look(request, upload, anew=True)
    return go_to(f"{UPLOADS}/{upload.record.id}")


def _recipe(request: Request) -> Response:
    """A recipe to change: one of the workspace, a copy of one that the studio ships, or that of a Dataset."""
    workspace, query = workspace_of(request), request.query_params
    if shipped := query.get("shipped"):
        path = list_content("data_recipes").get(shipped)
        if path is None:
            raise HTTPException(404)
        return _edit(request, name=_free(request, path.stem), text=path.read_text(encoding="utf-8"))
    if dataset := query.get("dataset"):
        folder = content_path(workspace.datasets, *dataset.split("/"))
        record = read_dataset(folder)
        text = yaml.safe_dump(_without_empty(record.recipe), sort_keys=False, allow_unicode=True, width=110)
        return _edit(request, name=_free(request, record.name), text=text)
    path = recipe_path(workspace, query.get("name", ""))
    if not path.is_file():
        raise HTTPException(404)
    text, saved = path.read_text(encoding="utf-8"), "saved" in query
    return _edit(request, name=path.stem, text=text, seen=state_of(path), saved=saved)


def _without_empty(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it was recorded without what was left out when it was written."""
    return {name: value for name, value in recipe.items() if value not in (None, "", [], {})}


def _edit(request: Request, *, status: int = 200, **fields: Any) -> Response:
    """The page of a recipe."""
    values = _editor(**fields)
    path = Path(shown_path(workspace_of(request).root)) / "recipes" / f"{values['name']}.yaml"
    return render(request, "data/recipe.html", status, **values, file=str(path), title=t("Recipe {name}", name=values["name"]))


def _save(request: Request) -> Response:
    """Write a recipe, and build it where that was asked for."""
    form = posted(request)
    name, text, seen = text_of(form, "name").strip(), text_of(form, "text"), text_of(form, "seen")
    may, typed = visitor_of(request).may("administer"), {"name": name, "text": text, "seen": seen}
    try:
        replace = form.get("replace") == "yes"
        path = save_recipe(workspace_of(request), name, text, seen=seen, replace=replace, anywhere=may)
    except TakenError as error:
        return _edit(request, status=422, **typed, wrong=str(error), place="name", taken=True)
    except ConfigError as error:
        return _edit(request, status=422, **typed, wrong=str(error), place="text")
    except UserError as error:
        place = "name" if "name of a recipe" in str(error) else "text"
        return _edit(request, status=422, **typed, wrong=str(error), place=place)
    if form.get("then") == "build":
        return begin_and_show(request, ["data", "build", shown_path(path)])
    return go_to(f"{RECIPE}?name={path.stem}&saved=1")


def _build(request: Request) -> Response:
    """Build a recipe that the studio ships, or one of the workspace."""
    form = posted(request)
    if shipped := text_of(form, "shipped"):
        if shipped not in list_content("data_recipes"):
            raise HTTPException(404)
        return begin_and_show(request, ["data", "build", shipped])
    path = recipe_path(workspace_of(request), text_of(form, "name"))
    if not path.is_file():
        return trouble(request, f"there is no recipe {path.stem!r} any more. Save it first.", 404, back=[NEW])
    return begin_and_show(request, ["data", "build", shown_path(path)])


ROUTES = [
    Route(NEW, _new),
    Route("/data/-/upload", _upload, methods=["POST"]),
    Route(f"{UPLOADS}/{{id}}", _shown),
    Route(f"{UPLOADS}/{{id}}/live", _looking),
    Route(f"{UPLOADS}/{{id}}/look", allowed("train", _again), methods=["POST"]),
    Route(RECIPE, _recipe),
    Route(RECIPE, allowed("train", _save), methods=["POST"]),
    Route("/data/-/build", allowed("train", _build), methods=["POST"]),
]
