"""Tab completion of names; a completer never fails and imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from studio.cli import output

Completer = Callable[[str], list[str]]


def content_completer(kind: str) -> Completer:
    """Completer of registry names of one kind of YAML, for example of suites."""

    def complete(incomplete: str) -> list[str]:
        from studio.core.content import list_content

        return [name for name in list_content(kind) if name.startswith(incomplete)]  # type: ignore[arg-type]

    return complete


def complete_dataset(incomplete: str) -> list[str]:
    """Names of built Datasets."""
    folders = output.open_workspace().list_datasets()
    return sorted({folder.parent.name for folder in folders if folder.parent.name.startswith(incomplete)})


def complete_run(incomplete: str) -> list[str]:
    """``last`` and ``name/time-id`` of every run, newest first."""
    folders = output.open_workspace().list_runs()
    names = ["last", *(f"{folder.parent.name}/{folder.name}" for folder in folders)] if folders else []
    return [name for name in names if name.startswith(incomplete)]


# By parameter name, so that a new command completes names without saying so.
COMPLETERS: dict[str, Completer] = {
    "recipe": content_completer("data_recipes"),
    "preset": content_completer("adapters"),
    "adapter": content_completer("adapters"),
    "suite": content_completer("evals"),
    "dataset": complete_dataset,
    "data": complete_dataset,
    "run": complete_run,
    "runs": complete_run,
    "resume": complete_run,
    "model": complete_run,
    "baseline": complete_run,
}
