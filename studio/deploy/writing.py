"""Writing a place's folder: aside, without a secret in it, with a page that begins with what was checked, renamed when whole."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studio import __version__
from studio.core.errors import UserError
from studio.core.files import new_folder, write_json, write_text
from studio.core.markdown import markdown_table
from studio.core.records import Record, read_record, shared_name
from studio.core.telling import Table, Told
from studio.deploy.checking import Check, Parse, check_folder
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.secrets import find_secret

RECORD, PAGE = "deploy.json", "README.md"
_FROM, _TO = "<!-- checked -->", "<!-- /checked -->"
# What Windows opens without further ado, for a folder that is kept in git (MAX_PATH is 260 with the closing zero).
_WINDOWS = 259


class DeployRecord(Record):
    """``deploy.json``: what a folder was made from. run: name, id and base of the Run. limits: what nobody has run."""

    place: str
    run: dict[str, Any]
    profile: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    limits: list[str] = []
    studio_version: str


def default_folder(asked: Asked, place_name: str) -> Path:
    """Where a folder goes unless told otherwise: beside the person's own files, for it is kept with them."""
    return Path("deploy") / f"{asked.slug}-{place_name}"


def check_target(target: Path) -> Path:
    """A place where nothing is yet.

    Raises:
        UserError: something is there already, or the name is longer than a file system takes.
    """
    try:
        if target.expanduser().exists():
            raise UserError(f"{target} exists already and is not overwritten. Move it away, or give another folder with --out.")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(
            f"--out has a name of {len(target.name)} letters, which no file system here takes. Give a shorter one."
        ) from error
    return target.expanduser()


def write_place(place_name: str, place: Place, asked: Asked, target: Path, *, parse: Parse, say: Say) -> tuple[Told, bool]:
    """Write the folder, check it with what is installed, and put the result into its page; also whether nothing failed.

    Args:
        parse: reads a command line of the studio without running it.
    Raises:
        UserError: the run cannot go there, or a setting holds a secret. StudioError: the disk.
    """
    _refuse_secret_settings(asked)
    written = place.write(asked, say)
    _refuse_secrets(written, asked)
    longest = max(len(str(target.absolute() / path)) for path in written.files)
    if longest > _WINDOWS:
        say(f"note: its longest path has {longest} letters, more than the {_WINDOWS} that Windows opens; a shorter --out helps.")
    with new_folder(target) as partial:
        for path, text in written.files.items():
            write_text(partial / path, text)
            if path in written.executable:
                (partial / path).chmod(0o755)
        record = DeployRecord(
            place=place_name,
            run={"name": asked.record.name, "id": asked.record.id, "base": shared_name(asked.record.base)},
            profile={"name": asked.profile_name, "settings": list(asked.settings)},
            facts=dict(written.facts),
            limits=list(written.limits),
            studio_version=__version__,
        )
        write_json(partial / RECORD, record.model_dump(mode="json"))
        write_text(partial / PAGE, _page(asked, place_name, place, written))
        say("checking the folder")
        checks = check_folder(partial, record.facts, parse)
        _note_checks(partial, checks, record.limits)
    return told(target, place_name, record, checks, written), _whole(checks)


def recheck(folder: Path, *, parse: Parse, say: Say) -> tuple[Told, bool]:
    """Check a folder again, perhaps changed by hand, and put the result into its page; also whether nothing failed.

    Raises:
        UserError: ``studio deploy`` did not write the folder.
    """
    if not (folder / RECORD).is_file():
        raise UserError(
            f"{folder} holds no {RECORD}: it was not written by studio deploy. Write one: studio deploy RUN --to PLACE"
        )
    record = read_record(folder / RECORD, DeployRecord)
    say("checking the folder")
    checks = check_folder(folder, record.facts, parse)
    noted = _note_checks(folder, checks, record.limits)
    lines = [] if noted else [f"{PAGE} has lost the marks {_FROM} … {_TO}, so the result is not noted there."]
    document = {"folder": folder, "place": record.place, "checks": checks, "limits": record.limits}
    return Told((_table(checks), *lines), document), _whole(checks)


def _whole(checks: Iterable[Check]) -> bool:
    """True when no check failed; one that could not be made leaves that open."""
    return all(check.state != "failed" for check in checks)


def told(target: Path, place_name: str, record: DeployRecord, checks: list[Check], written: Written) -> Told:
    """What is said once a folder stands."""
    document = {"folder": target, "place": place_name, "checks": checks, "limits": record.limits, "facts": record.facts}
    limits = tuple(f"not shown: {limit}" for limit in record.limits)
    missing = any(check.missing for check in checks)
    remedy = (
        (f"More can be checked: pip install 'finetuning-studio[deploy]' && studio deploy --check {target}",) if missing else ()
    )
    blocks = (f"{place_name}: written to {target}/ ({len(written.files) + 2} files).", "", _table(checks), "", *limits, *remedy)
    return Told((*blocks, "", f"Read on: {target / PAGE}"), document)


def _table(checks: Iterable[Check]) -> Table:
    """Checks for a terminal."""
    return Table(["checked", "by", "result"], [[check.what, check.by, check.result] for check in checks])


def _page(asked: Asked, place_name: str, place: Place, written: Written) -> str:
    """The folder's page; the checks are put into it afterwards."""
    base = shared_name(asked.record.base) or "none"
    about = f"Written by Finetuning Studio {__version__} from run {asked.run} (base {base})."
    rows = [
        (name.replace("_", " "), _fact(value)) for name, value in written.facts.items() if value is not None and name != "command"
    ]
    lines = [f"# {asked.name}: {place.what}", "", "## What was checked, and what was not run", "", _FROM, _TO, ""]
    lines += ["## Begin", "", written.begin.strip("\n"), ""]
    if rows:
        lines += ["## Figures", "", *markdown_table(["what", "value"], rows), ""]
    lines += [
        "## About this folder",
        "",
        about,
        "It is yours: read it, change it, keep it in git.",
        f"Check it again after a change: `studio deploy --check FOLDER` ({place_name}).",
    ]
    return written.front + "\n".join(lines) + "\n"


def _fact(value: Any) -> str:
    """A fact as it stands in a table."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _note_checks(folder: Path, checks: list[Check], limits: list[str]) -> bool:
    """Put the result of the checks between the page's marks; False when somebody has taken those out."""
    page = (folder / PAGE).read_text(encoding="utf-8") if (folder / PAGE).is_file() else ""
    before, begin, rest = page.partition(_FROM)
    _, end, after = rest.partition(_TO)
    if not begin or not end:
        return False
    table = markdown_table(["checked", "by", "result"], [(check.what, check.by, check.result) for check in checks])
    unproven = [f"- {limit}" for limit in limits]
    lines = [*table, "", "**Not run, not validated:**", "", *(unproven or ["- nothing else"])]
    write_text(folder / PAGE, before + begin + "\n" + "\n".join(lines) + "\n" + end + after)
    return True


def _refuse_secret_settings(asked: Asked) -> None:
    """No setting may hold a key: it would stand in a file that is kept in git.

    Raises:
        UserError: names the setting and what kind of secret it is; never the secret.
    """
    for setting in asked.settings:
        if (kind := find_secret(setting)) is not None:
            name = setting.partition("=")[0]
            raise UserError(
                f"--set {name} holds what looks like {kind}, and the folder is kept in git. Put it into a secret of the place."
            )


def _refuse_secrets(written: Written, asked: Asked) -> None:
    """No file may hold a key, wherever it came from.

    Raises:
        UserError: names the file and what kind of secret it is; never the secret.
    """
    for path, text in written.files.items():
        if (kind := find_secret(text)) is not None:
            raise UserError(
                f"{path} would hold what looks like {kind}, and the folder is kept in git. Take it out of the server profile "
                f"{asked.profile_name!r} or of the run's chat template."
            )
