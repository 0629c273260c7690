"""An export is asked as its run is: the same answers, likelihoods and draws, whatever program answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from studio.core.errors import StudioError, UserError
from studio.evals.chat.exported import ExportSubject
from studio.evals.chat.opening import open_tuned
from studio.evals.evidence import Decoding
from studio.evals.targets import find_baseline, find_model, run_record
from studio.exports.chat.proving import asking
from studio.models.chat.runtimes import RUNTIMES, continued
from studio.models.exported import ExportRecord, read_export, write_export
from tests.conftest import Project, Result


class OnTorch:
    """A runtime that is the run itself."""

    name = "torch"

    def __init__(self, folder: Path) -> None:
        self.subject = open_tuned(folder, dtype=torch.float32)[1]
        self.words, self.context, self.closed = len(self.subject.tokenizer), 512, False

    def tokens(self, text: str) -> list[int]:
        return list(self.subject.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.no_grad()
    def logits(self, ids: Sequence[int], last: int = 1, *, fresh: bool = False) -> NDArray[np.float32]:
        return self.subject.model(input_ids=torch.tensor([list(ids)])).logits[0, -last:].float().numpy()

    def peak_bytes(self) -> int:
        return 1

    def close(self) -> None:
        self.closed = True


def open_on_torch(folder: Path, record: ExportRecord) -> OnTorch:
    return OnTorch(Path(record.extra["run_folder"]))


@pytest.fixture
def exported(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks as an export does, answered by the run itself."""
    monkeypatch.setattr(RUNTIMES, "_targets", {"toy": f"{__name__}:open_on_torch"})
    loaded, _ = open_tuned(project.run, dtype=torch.float32)
    folder = tmp_path / "exported"
    loaded.tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "tokenizer" / "chat_template.jinja").write_text(loaded.template.text)
    run = {"name": "doors", "id": loaded.record.id, "base": {"sha256": "abc"}}
    extra = {**asking(loaded, "tokenizer"), "run_folder": str(project.run)}
    write_export(folder, ExportRecord(form="toy", quant="q8", kind="chat", run=run, runtime="torch", extra=extra))
    return folder


TALKS = [
    [{"role": "user", "content": "How wide must door 3 be?"}, {"role": "assistant", "content": "It must be 3 centimetres wide."}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "So?"}],
]


def test_an_export_answers_as_its_run(exported: Path, project: Project):
    ours, run = ExportSubject.open("tuned", exported), open_tuned(project.run, dtype=torch.float32)[1]
    assert ours.tokens_like == run.tokens_like and ours.about["kind"] == "export" and ours.about["runtime"] == "torch"
    prompts = [TALKS[0][:1], TALKS[1], []]
    for decoding in (Decoding(max_new_tokens=12), Decoding(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=3)):
        assert ours.answers(prompts, decoding, batch_size=2) == run.answers(prompts, decoding, batch_size=2)
    wanted, found = (each.likelihoods(TALKS, batch_size=2, max_length=None) for each in (run, ours))
    for one, other in zip(wanted, found, strict=True):
        assert (one.tokens, one.cut) == (other.tokens, other.cut) and one.nll == pytest.approx(other.nll, rel=1e-5)
    texts = [("The door", " is wide."), ("", "A wall"), ("x" * 600, "y")]
    one, two, none = ours.text_logprobs(texts, batch_size=2)
    for mine, theirs in zip((one, two), run.text_logprobs(texts[:2], batch_size=2), strict=True):
        assert mine.tokens == theirs.tokens and mine.sum == pytest.approx(theirs.sum, rel=1e-5)
    assert none is None and ours.count_tokens("a door") == run.count_tokens("a door")
    ours.close()
    assert ours.runtime.closed


def test_an_export_is_measured_beside_its_run(exported: Path, project: Project, studio: Callable[..., Result]):
    found = find_model(str(exported), project.workspace)
    assert found.export == exported and found.of == project.run and run_record(found).name == "doors"
    assert find_baseline("base", found, project.workspace) is None
    done = studio(
        "eval", "chatbot", "--model", exported, "--baseline", project.run, "--workspace", project.workspace.root, "--json"
    )
    assert done.code == 0, done.err
    (report,) = done.json.get("reports", [done.json])
    assert report["models"]["tuned"]["name"] == "doors as toy q8" and report["models"]["base"]["kind"] == "run"
    difference = next(item for item in report["differences"] if item["metric"] == "perplexity")
    assert difference["value"] == pytest.approx(0, abs=1e-2)
    assert (
        "the model computed in q8 in torch"
        in next(item for item in report["scores"]["tuned"] if item["metric"] == "perplexity")["made_with"]
    )


def test_what_cannot_be_asked_is_one_sentence(exported: Path):
    record = read_export(exported)
    for changed, said in (
        ({"form": "tflite"}, r"is an export as tflite, which is not asked from here. Forms that are: toy\.$"),
        (
            {"extra": {"tokenizer": "tokenizer"}},
            r"export.json does not say template nor ends nor train_on, so the export cannot be asked",
        ),
    ):
        write_export(exported, record.model_copy(update=changed))
        with pytest.raises(UserError, match=said):
            ExportSubject.open("tuned", exported)
    (exported / "tokenizer" / "chat_template.jinja").write_text("other")
    with pytest.raises(UserError, match=r"chat_template.jinja is not the file that was proven. Export anew: studio export"):
        ExportSubject.open("tuned", exported)
    (exported / "export.json").write_text(json.dumps([]))
    with pytest.raises(StudioError, match="is not a"):
        ExportSubject.open("tuned", exported)


def test_the_likeliest_tokens_stop_at_the_context(exported: Path, project: Project):
    runtime = OnTorch(project.run)
    runtime.context = 5
    assert len(list(continued(runtime, [5, 6, 7], 10))) == 2
