"""What an app that talks was started with: a run's name, or an address."""

from __future__ import annotations

from studio.apps.chat_model import Shelf
from studio.core.workspace import Workspace


def open_shelf(workspace: Workspace, reference: str | None) -> Shelf:
    """The models behind a run's name or an ``http(s)://`` address; None takes the newest run that can speak.

    Raises:
        UserError: no such run, or none that can speak yet.
    """
    if reference is not None and reference.startswith(("http://", "https://")):
        from studio.apps.endpoint import EndpointShelf

        return EndpointShelf(reference, workspace)
    from studio.apps.local_models import LocalShelf

    return LocalShelf(workspace, reference)
