"""What is learnt from: questions with passages of every form of chat rows, and batches without right answers as wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace
from studio.data.passages import Found, read_passages
from studio.schema.embed import EmbeddingPreset, RerankerPreset
from studio.train.embed.batches import Mixer
from studio.train.embed.rows import read_rows, text_report
from tests.retrieval import build_questions

EMBED = {"kind": "embedding"}


def dataset(folder: Path, lines: list[dict], name: str = "mixed") -> Path:
    build_questions(folder, name, lines)
    return Workspace.open(folder / "workspace").find_dataset(name)


def filled(lines: list[dict], count: int = 24) -> list[dict]:
    """Enough further rows that a split can be made; questions begin with "Filler"."""
    return [*lines, *({"prompt": f"Filler {n}?", "chosen": f"Full {n}.", "rejected": f"Empty {n}."} for n in range(count))]


def all_rows(folder: Path) -> tuple[dict[str, Found], dict[str, str]]:
    """Rows of all splits by question, and what is left out by reason."""
    parts = [read_passages(folder, split, "answer") for split in ("train", "validation", "test")]
    return {row.query: row for part in parts for row in part.rows}, {
        reason: name for part in parts for name, reason in part.left_out
    }


def test_preferences_and_thumbs_give_disliked_answers(tmp_path: Path) -> None:
    rows, _ = all_rows(dataset(tmp_path, filled([])))
    assert rows["Filler 3?"].positive == "Full 3." and rows["Filler 3?"].negatives == ("Empty 3.",)


def test_a_conversation_gives_its_first_question(tmp_path: Path) -> None:
    lines = [
        {"messages": [
            {"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": f"Answer {n}."},
            {"role": "user", "content": "And more?"}, {"role": "assistant", "content": "More."},
        ]}
        for n in range(30)
    ]  # fmt: skip
    found = read_passages(dataset(tmp_path, lines), "train", "answer")
    assert {row.query.split()[0] for row in found.rows} == {"Question"} and len(found.rows) == 12
    assert "12 of 12 conversations" in found.notes[0]


def test_a_column_can_be_the_passage(tmp_path: Path) -> None:
    lines = [{"question": f"Q{n}?", "answer": f"A{n}.", "quote": f"Rule {n}." if n else ""} for n in range(30)]
    folder = dataset(tmp_path, lines)
    found = [read_passages(folder, split, "quote") for split in ("train", "validation", "test")]
    assert {row.positive for part in found for row in part.rows} == {f"Rule {n}." for n in range(1, 30)}
    assert [reason for part in found for _, reason in part.left_out] == ["nothing in its column 'quote'"]
    with pytest.raises(UserError, match=r"no column 'quot'\. Did you mean 'quote'"):
        read_passages(folder, "train", "quot")


def found(query: str, positive: str | None, *negatives: str) -> Found:
    return Found(f"{query}/{positive}", query, positive, negatives)


def test_no_batch_holds_a_right_answer_as_wrong() -> None:
    rows = [found(f"q{n}", f"a{n}") for n in range(40)]
    rows += [found("q1", "a2"), found("Q3", "other"), found("new", " A4 "), found("x", "y", "a5"), found("z", "w", "common")]
    rows += [found("v", "u", "common")]
    right = {}
    for row in rows:
        right.setdefault(row.query.casefold(), set()).add(row.positive.strip().casefold())
    for epoch in range(20):
        batches, alone = Mixer(rows, 8, seed=epoch).epoch(epoch)
        assert alone + sum(map(len, batches)) == len(rows)
        assert sorted(place for batch in batches for place in batch) == sorted({p for b in batches for p in b})
        for batch in batches:
            for one in batch:
                for other in batch:
                    texts = [rows[other].positive, *rows[other].negatives] if one != other else list(rows[one].negatives)
                    assert not {text.strip().casefold() for text in texts} & right[rows[one].query.casefold()]


def test_rows_of_one_answer_stand_alone_and_are_counted() -> None:
    rows = [found(f"q{n}", "the same") for n in range(5)] + [found("else", "another")]
    batches, alone = Mixer(rows, 4, 0).epoch(1)
    assert [len(batch) for batch in batches] == [2] and alone == 4


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path, [{"question": f"How {n}?", "answer": "Always the same."} for n in range(40)])
    with pytest.raises(DataError, match="1 different passages to learn from"):
        read_rows(folder, EmbeddingPreset.model_validate(EMBED))


def test_negatives_are_used_left_or_required(questions: Path) -> None:
    space = Workspace.open(questions / "workspace")
    liked, rooms = space.find_dataset("liked"), space.find_dataset("rooms")
    assert all(row.negatives for row in read_rows(liked, EmbeddingPreset.model_validate(EMBED)).train)
    assert not any(
        row.negatives for row in read_rows(liked, EmbeddingPreset.model_validate(EMBED | {"negatives": "ignore"})).train
    )
    with pytest.raises(DataError, match="negatives: require asks for one"):
        read_rows(rooms, EmbeddingPreset.model_validate(EMBED | {"negatives": "require"}))


def test_what_is_cut_is_counted(questions: Path, encoder: Path) -> None:
    from studio.models.predictors.encoder import load_encoder_tokenizer

    rows = read_rows(Workspace.open(questions / "workspace").find_dataset("rooms"), EmbeddingPreset.model_validate(EMBED))
    tokenizer = load_encoder_tokenizer(encoder)
    whole = text_report(rows, tokenizer, EmbeddingPreset.model_validate(EMBED | {"max_length": 64}))
    assert not whole.tokens_cut and "every text is read whole" in whole.lines()[1]
    cut = text_report(rows, tokenizer, EmbeddingPreset.model_validate(EMBED | {"max_length": 6}))
    lengths = [len(row) for row in tokenizer([row.query for row in rows.train])["input_ids"]]
    lengths += [len(row) for row in tokenizer([row.positive for row in rows.train])["input_ids"]]
    assert cut.tokens == sum(lengths) and cut.tokens_cut == sum(max(0, count - 6) for count in lengths)
    together = text_report(rows, tokenizer, RerankerPreset.model_validate({"kind": "reranker", "max_length": 64}))
    pairs = tokenizer([row.query for row in rows.train], [row.positive for row in rows.train])["input_ids"]
    assert together.longest_passage == max(map(len, pairs)) and together.tokens == sum(map(len, pairs))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "triplet"}, "Set negatives: require"),
        ({"loss": "triplet", "negatives": "require", "micro_batch_size": 4}, "triplets go through in one batch"),
        ({"margin": 0.1}, "margin belongs to loss: triplet"),
        ({"loss": "triplet", "negatives": "require", "scale": 10}, "scale belongs to loss: ranking"),
        ({"micro_batch_size": 64}, "more than the 32 rows of batch_size"),
        ({"batch_size": 1}, "Set 2 or more"),
        ({"matryoshka": [32, 32]}, "names a length twice"),
        ({"lora": {"rank": 2}}, "Set tune: lora"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        EmbeddingPreset.model_validate(EMBED | settings)
