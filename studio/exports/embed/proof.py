"""Whether an exported encoder is the run: the same held-out texts asked of both, and of the program beside it.

Legend: q questions, p passages, e numbers of a vector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError
from studio.core.workspace import Workspace, read_dataset, read_run, run_dataset
from studio.data.passages import read_passages
from studio.exports.formatted import ask_program
from studio.exports.writing import hold
from studio.models.embed.exported import open_exported
from studio.models.embed.opening import PASSAGE, QUERY, fits, vectors
from studio.models.exported import ExportRecord

EXACT = 1e-3
"""Most that a cosine, a number of a vector or a score, which is a logit, may differ by."""
_SPLITS = ("test", "validation", "train")
_MOST, _PROGRAM = 100, 3


@dataclass(frozen=True)
class Texts:
    """Held-out questions and passages, each once."""

    questions: list[str]
    passages: list[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each question with the passage beside it and the next one."""
        count = len(self.passages)
        return [
            (question, self.passages[(at + step) % count])
            for at, question in enumerate(self.questions)
            for step in range(min(2, count))
        ]


def held_out(run_folder: Path) -> tuple[Texts, str]:
    """Texts of the first split that has any, and its name.

    Raises:
        UserError: the Dataset is not there any more.
    """
    folder = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    passage = str(saved_settings(run_folder).get("passage", "answer"))
    for split in (split for split in _SPLITS if read_dataset(folder).splits.get(split)):
        rows = [row for row in read_passages(folder, split, passage).rows if row.positive is not None][:_MOST]
        if rows:
            questions = dict.fromkeys(row.query for row in rows)
            passages = dict.fromkeys(row.positive for row in rows if row.positive is not None)
            return Texts(list(questions), list(passages)), split
    raise StudioError(f"{folder} has no question with a passage, so nothing could be proven.")


def prove(model: Any, kind: str, texts: Texts, folder: Path, record: ExportRecord) -> tuple[dict[str, Any], dict[str, float]]:
    """Figures of the proof, and what they were held to.

    Raises:
        StudioError: the export does not say what the run says.
    """
    exported = open_exported(folder, record)
    if kind == "reranker":
        truth, found, by_one = fits(model, texts.pairs), exported.fits(texts.pairs), exported.fits(texts.pairs[:1])
        worst = _apart(truth, found)
        proof: dict[str, Any] = {"pairs": len(truth), "difference": worst}
        asked: list[Any] = [list(pair) for pair in texts.pairs[:_PROGRAM]]
        name, expected = "score", truth[:_PROGRAM]
        proof["alone"] = _apart(truth, by_one)
    else:
        questions, passages = vectors(model, texts.questions, QUERY), vectors(model, texts.passages, PASSAGE)
        ours, theirs = exported.vectors(texts.questions, QUERY), exported.vectors(texts.passages, PASSAGE)
        cosines = torch.cat([(questions * ours).sum(1), (passages * theirs).sum(1)])  # [q + p]
        worst = float((questions @ passages.T - ours @ theirs.T).abs().max())
        first = float(((questions @ passages.T).argmax(1) == (ours @ theirs.T).argmax(1)).float().mean())
        proof = {"texts": len(cosines), "least_cosine": float(cosines.min()), "difference": worst, "agreement": first}
        hold("the least cosine of a text's two vectors", proof["least_cosine"], 1 - EXACT, form=record.form, least=True)
        proof["alone"] = _apart(passages, exported.vectors(texts.passages[:1], PASSAGE))
        asked, name, expected = list(texts.passages[:_PROGRAM]), "vector", passages[:_PROGRAM]
    program = torch.tensor([answer[name] for answer in ask_program(folder, record.form, json.dumps(asked))])
    proof["program"] = float((program - expected).abs().max())
    for name in ("difference", "alone", "program"):
        hold(f"the largest difference ({name})", proof[name], EXACT, form=record.form)
    limits = {"difference": EXACT, "alone": EXACT, "program": EXACT}
    return proof, limits | ({} if kind == "reranker" else {"least_cosine": 1 - EXACT})


def words_of_proof(record: ExportRecord) -> list[tuple[str, str]]:
    """The proof for people."""
    proof = record.proof
    bound = f"(at most {EXACT:.0e})"
    if record.kind == "reranker":
        return [
            ("pairs asked of both", f"{proof['pairs']} of the split {proof['split']}"),
            ("largest difference of a score", f"{proof['difference']:.1e} {bound}"),
            ("predict.py beside it", f"{proof['program']:.1e} {bound}"),
        ]
    return [
        ("texts asked of both", f"{proof['texts']} of the split {proof['split']}"),
        ("least cosine of a text's two vectors", f"{proof['least_cosine']:.7f}"),
        ("largest difference of a question's cosine to a passage", f"{proof['difference']:.1e} {bound}"),
        ("same first passage", f"{proof['agreement']:.1%} of the questions"),
        ("predict.py beside it", f"{proof['program']:.1e} {bound}"),
    ]


def _apart(truth: torch.Tensor, found: torch.Tensor) -> float:
    """Largest difference to the first rows of the truth."""
    return float((truth[: len(found)] - found).abs().max())
