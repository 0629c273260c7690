"""What presets of every kind share. Each field is documented once, here."""

from __future__ import annotations

from studio.schema.loading import Settings
from studio.schema.search import Space


class Preset(Settings):
    """One file that says how something is trained."""

    description: str = ""
    """One line for lists."""
    why: str = ""
    """When to take it, and on what that and its values rest."""
    search: Space | None = None
    """What ``studio search`` tries where neither ``--set`` nor ``--space`` says it: setting to ``0.01..100:log``, a list of
    values, or a group with ``low`` and ``high``. Training looks at none of it; None leaves it to the studio's own table."""
