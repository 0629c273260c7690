"""``ollama``: a Modelfile for the run's GGUF export."""

from __future__ import annotations

from studio.core.errors import UserError
from studio.deploy.exported import GGUF, find_export
from studio.deploy.places import Asked, Place, Say, Written
from studio.deploy.quoting import render

_MODELFILE = "Modelfile"


class Ollama(Place):
    """A Modelfile."""

    what = "Ollama: a Modelfile of the GGUF export, with the template and the stop words of the run"
    kinds = ("chat",)
    starts = "ollama"

    def write(self, asked: Asked, say: Say) -> Written:  # noqa: ARG002 - nothing takes long
        """The export's own Modelfile, pointing at its file."""
        export = find_export(asked, GGUF, (".gguf",), place="ollama")
        own = export.folder / _MODELFILE
        if not own.is_file():
            # Without it Ollama guesses a template, and the model is asked otherwise than it was trained.
            raise UserError(f"{export.folder} has no {_MODELFILE}. Export it anew: studio export {asked.run} --to gguf")
        lines = own.read_text(encoding="utf-8").splitlines()
        rest = [line for line in lines if not line.startswith("FROM ")]
        values = {"slug": asked.slug, "name": asked.name, "export": export, "run": asked.run}
        return Written(
            files={_MODELFILE: "\n".join([f"FROM {export.file}", *rest]) + "\n"},
            begin=render("ollama/begin.md.j2", values),
            limits=(
                "Ollama was not started: that its template gives the run's own prompts was shown by the export, not by Ollama.",
                "Ollama asks nobody for a key: it belongs on loopback (its default), or behind a proxy that does.",
            ),
            facts={"model_bytes": export.bytes, "quantisation": export.line.quant},
            start=("ollama", "create", asked.slug, "--file", _MODELFILE),
        )
