"""From a folder of documents to a chatbot that is tuned and measured, by three commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PRESET, Result
from tests.data.chat.writing.conftest import FAQ
from tests.data.chat.writing.writer_server import WriterServer
from tests.data.documents.making import WEB_PAGE, page_of, write_docx, write_pdf
from tests.servers import serving

RECIPE = """kind: chat
sources:
  - type: documents
    path: docs
    licence: own data
    chunk: {{size: 300}}
    writer: {{base_url: "{url}/v1", model: writer-1}}
steps:
  - step: whitespace
  - step: drop_empty
  - step: exact_duplicates
  - step: near_duplicates
split: {{validation: 2, test: 4, same_question: true}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents, a recipe and a preset as a person has them."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number, thing in enumerate(("oven", "lamp", "lift", "bell"), start=1):
        lines = (f"The {thing} is cleaned every {number}0 days.", f"Old parts of the {thing} go to room {number}.")
        write_pdf(docs / f"{thing}.pdf", [page_of(thing.title(), lines, (f"Nobody may open the {thing} alone.",))])
    write_docx(docs / "laundry.docx")
    (docs / "rules.html").write_text(WEB_PAGE, encoding="utf-8")
    (docs / "faq.md").write_text(FAQ, encoding="utf-8")
    (tmp_path / "small.yaml").write_text(PRESET, encoding="utf-8")
    return tmp_path


def test_from_a_folder_of_documents_to_a_measured_chatbot(
    studio: Callable[..., Result], folder: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(folder / "workspace"))
    monkeypatch.chdir(folder)
    with serving(WriterServer()) as server:
        (folder / "my-docs.yaml").write_text(RECIPE.format(url=server.url), encoding="utf-8")
        built = studio("data", "build", folder / "my-docs.yaml", "--json")
    assert built.code == 0, built.err
    assert built.json["record"]["splits"]["train"] >= 8 and built.json["record"]["splits"]["test"] >= 3
    shown = studio("data", "show", "my-docs", "--row", 9)
    assert "quote=" in shown.out and "page=1" in shown.out
    trained = studio("train", folder / "small.yaml", "--data", "my-docs", "--model", tiny_base, "--name", "bot", "--json")
    assert trained.code == 0, trained.err
    measured = studio(
        "eval", "chatbot", "--model", "bot", "--set", "generation.max_new_tokens=8", "--set", "resamples=100", "--json"
    )
    assert measured.code == 0, measured.err
    scores = {score["metric"]: score["value"] for score in measured.json["scores"]["tuned"]}
    assert scores["perplexity"] > 0
    again = studio("data", "build", folder / "my-docs.yaml", "--json")
    assert again.json["cached"] is True, "the server is gone, and nothing is asked"
