"""Encoders are opened from safe folders only, as sentence-transformers has them; a missing library is named."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from studio.core.errors import MissingExtraError, StudioError, UserError
from studio.models.embed.opening import EncoderShape, check_retriever, module_names, open_embedding, open_reranker, vectors
from tests.retrieval import build_tiny_encoder

pytest.importorskip("sentence_transformers", reason="extra embed")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


def saved(encoder: Path, folder: Path, **shape: object) -> Path:
    open_embedding(encoder, EncoderShape(24, **shape)).save(str(folder), create_model_card=False)  # type: ignore[arg-type]
    return folder


def test_a_saved_folder_gives_the_same_vectors(encoder: Path, tmp_path: Path) -> None:
    folder = saved(encoder, tmp_path / "cls", pooling="cls", prompts={"query": "ask: "})
    again = open_embedding(folder)  # its own pooling, length and prompts
    texts = ["how wide must the door be", "wall " * 80]
    first = vectors(open_embedding(encoder, EncoderShape(24, "cls", {"query": "ask: "})), texts, "query")
    assert torch.equal(vectors(again, texts, "query"), first) and not torch.equal(vectors(again, texts, "document"), first)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(2))


def test_the_mean_is_that_of_the_tokens(encoder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    text = "how wide must the door of the hall be"
    tokens = AutoTokenizer.from_pretrained(encoder)(text, return_tensors="pt")
    with torch.no_grad():
        mean = AutoModel.from_pretrained(encoder).eval()(**tokens).last_hidden_state.mean(dim=1)
    found = vectors(open_embedding(encoder), [text], "document")
    torch.testing.assert_close(found, torch.nn.functional.normalize(mean, dim=1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sentence_transformers.models.Dense", "custom_code.Transformer"])
def test_modules_beyond_the_plain_ones_are_refused(encoder: Path, tmp_path: Path, kind: str) -> None:
    folder = saved(encoder, tmp_path / "odd")
    listed = json.loads((folder / "modules.json").read_text())
    listed.append({"idx": 3, "name": "3", "path": "3_More", "type": kind})
    (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(UserError, match="opens encoders of Normalize, Pooling, Transformer only"):
        check_retriever(folder, "odd", 24)


def test_a_list_without_its_pooling_counts_as_a_plain_encoder(encoder: Path, tmp_path: Path) -> None:
    folder = saved(encoder, tmp_path / "bare")
    shutil.rmtree(folder / "1_Pooling")
    assert module_names(folder) == []
    texts = ["the door"]
    assert torch.equal(vectors(open_embedding(folder), texts, "document"), vectors(open_embedding(encoder), texts, "document"))


def test_what_cannot_be_opened_is_one_sentence(encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"no weights")
    for opened in (open_embedding, open_reranker):
        with pytest.raises(StudioError, match="cannot be opened as an encoder"):
            opened(folder)


def test_the_library_is_named_where_it_is_missing(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'finetuning-studio\[embed\]'"):
        open_embedding(encoder)
