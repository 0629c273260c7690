"""Which apps there are, in the order in which they are named to people. Listing them imports none of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.core.errors import UserError
from studio.core.registry import Registry

if TYPE_CHECKING:
    import gradio as gr

    from studio.core.workspace import Workspace


@dataclass(frozen=True)
class App:
    """An app.

    build: ``module:function`` that makes its page, ``build(workspace, reference)``. whole_workspace: it shows everything, so
    there is nothing to begin with, and its function is ``build(workspace)``. options: further keywords of its function.
    """

    build: str
    whole_workspace: bool = False
    options: tuple[str, ...] = ()


APPS: dict[str, App] = {
    "chat": App("studio.apps.chat:build"),
    "compare": App("studio.apps.compare:build"),
    "data": App("studio.apps.data:build"),
    "annotate": App("studio.apps.annotate:build", options=("guidelines", "suggest")),
    "monitor": App("studio.apps.monitor:build", whole_workspace=True),
    "image": App("studio.apps.image:build"),
    "predict": App("studio.apps.predict:build"),
}
_BUILDERS = Registry("app", {name: app.build for name, app in APPS.items()})
TALKING = Registry("app that talks", {"chat": "studio.apps.chat:of_shelf", "compare": "studio.apps.compare:of_shelf"})
"""App to a function of a shelf of models and the workspace that makes its page, for models that are at hand already."""


def all_names() -> str:
    """The names of all apps as a sentence lists them: ``one, two or three``."""
    *most, last = APPS
    return f"{', '.join(most)} or {last}"


def page_builder(
    name: str, reference: str | None, options: Mapping[str, str | None] | None = None
) -> Callable[[Workspace], gr.Blocks]:
    """The function that makes the page of an app; imports that app.

    Args:
        reference: what the app begins with (a run, an address, a Dataset); None lets it choose.
        options: further settings by name; None was not given.
    Raises:
        UserError: no such app (the nearest name is offered), one that shows the whole workspace was given a reference, or an
            option is another app's.
    """
    build: Callable[..., gr.Blocks] = _BUILDERS.get(name)
    given = {option: value for option, value in (options or {}).items() if value is not None}
    for option in given:
        if option not in APPS[name].options:
            owners = " or ".join(other for other, app in APPS.items() if option in app.options)
            raise UserError(f"--{option} is for studio app {owners}, and {name} does not know it. Leave it out.")
    if not APPS[name].whole_workspace:
        return functools.partial(build, reference=reference, **given)
    if reference is not None:
        raise UserError(f"the {name} shows the whole workspace and takes no {reference!r}. Choose a model on its page.")
    return build
