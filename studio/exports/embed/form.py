"""Writing an embedding model or a reranker in another form, proven by the cosines or scores of held-out texts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.exports.formatted import MODEL, FormatExport, finished_run
from studio.exports.forms import Wishes

if TYPE_CHECKING:
    from studio.models.exported import ExportRecord


class RetrievalExport(FormatExport):
    """A form of embedding models and rerankers."""

    models = "embeddings and rerankers"
    kinds = ("embedding", "reranker")

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.models.embed.opening import sentence_transformers

        record = finished_run(run_folder, holds=MODEL)
        name = f"{run_folder.parent.name}/{run_folder.name}"
        if not (run_folder / MODEL / "tokenizer.json").is_file():
            raise UserError(
                f"the tokenizer of {name} has no tokenizer.json, and no other program could read texts as it does. Train on a "
                "base whose tokenizer has one."
            )
        sentence_transformers()
        run_dataset(record, Workspace.around(run_folder))
        self.writer.check()

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """Write, prove and tell."""
        from studio.exports.embed.graphs import graph_of, open_run, reading_of
        from studio.exports.embed.proof import held_out, prove, words_of_proof
        from studio.exports.writing import described, finish_export, new_export, told, versions_of
        from studio.models.embed import programs
        from studio.models.exported import ExportRecord, write_export
        from studio.models.runtimes.sessions import copy_program, runtime_name

        kind, model = read_run(run_folder).kind, open_run(run_folder)
        rows, split = held_out(run_folder)
        graph = graph_of(model, kind)
        with new_export(target) as folder:
            extra = self.writer.write(graph, folder)
            copy_program(self.format, folder)
            place = Path(programs.__path__[0])
            for name, copy in (("predict", "predict.py"), ("texts", "reading.py")):
                shutil.copyfile(place / f"{name}.py", folder / copy)
            record = graph.described(
                ExportRecord(
                    form=self.format,
                    kind=kind,
                    run=described(run_folder),
                    runtime=runtime_name(self.format),
                    versions=versions_of(*self.writer.packages, "sentence-transformers"),
                    extra={**extra, "reading": reading_of(model, kind, folder)},
                )
            )
            write_export(folder, record)  # the program beside it reads it
            proof, limits = prove(model, kind, rows, folder, record)
            record = record.model_copy(update={"proof": {"split": split, **proof}, "limits": limits})
            words = words_of_proof(record)
            finish_export(folder, record, words, use_of(record))
            size = folder_size(folder)
        example = '"a question" "a passage"' if kind == "reranker" else '"a text"'
        return told(run_folder, target, record, words, size, f"python {target / 'predict.py'} {example}")


class Onnx(RetrievalExport):
    """What most runtimes, and many vector databases, read."""

    format = "onnx"
    what = "ONNX of an embedding model or reranker"
    place = "onnx/"


class OpenVino(RetrievalExport):
    """Processors of Intel."""

    format = "openvino"
    what = "OpenVINO of an embedding model or reranker"
    place = "openvino/"


class Pt2(RetrievalExport):
    """Programs of torch."""

    format = "pt2"
    what = "a torch.export program of an embedding model or reranker"
    place = "pt2/"


def use_of(record: ExportRecord) -> str:
    """How the files are used, as Markdown."""
    from studio.models.runtimes.sessions import RUNTIMES

    reranker = record.kind == "reranker"
    asked: Any = '"a question" "a passage" "another passage"' if reranker else '"a text"'
    call = "Model().scores(question, passages)" if reranker else 'Model().vectors(texts, role="query")'
    return (
        f"```sh\npip install {RUNTIMES[record.form].package} tokenizers numpy\npython predict.py {asked}\n```\n\n"
        f"From a program: `from predict import Model; {call}`. It needs nothing of the studio. `export.json` says names, shapes "
        "and meanings of the tensors, and under `extra.reading` how texts are read, for programs in other languages. In the "
        "studio: `studio eval retrieval --model FOLDER`."
    )
