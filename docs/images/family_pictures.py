"""The same captions painted by several runs, one row each: ``python docs/images/family_pictures.py WORKSPACE RUN... > OUT.png``.

Captions are spread over those of the first run's training pictures; picture n of each row has seed n.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from studio.adapters.images.loading import load_image_run
from studio.core.workspace import Workspace, read_run
from studio.data.images.rows import read_image_split
from studio.models.images.grid import picture_grid

COLUMNS = 7


def main(workspace: str, *names: str) -> None:
    """Paint and write the PNG to stdout."""
    runs = [Workspace.open(Path(workspace)).find_run(name) for name in names]
    rows = read_image_split(Path(read_run(runs[0]).dataset["path"]), "train")
    captions = sorted(row.caption for row in rows if row.caption)[:: max(1, len(rows) // COLUMNS)][:COLUMNS]
    painted = [load_image_run(run).sample(captions, list(range(COLUMNS))) for run in runs]
    under = [caption if row == len(runs) - 1 else "" for row in range(len(runs)) for caption in captions]
    out = io.BytesIO()
    picture_grid([picture for row in painted for picture in row], under, columns=COLUMNS).save(out, format="PNG")
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
