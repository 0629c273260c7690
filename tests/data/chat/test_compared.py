"""Steps that compare rows by a part of them, with another corpus, with what evaluations ask, and by their meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import ConfigError, DataError, UserError
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import ChatRow, read_removed, read_split
from studio.data.chat.steps.base import Drop
from studio.data.chat.steps.duplicates import ExactDuplicates, NearDuplicates
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import changed, pair, sentence

KEPT_APART = {"validation": 0, "test": 1}


def written(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"id": str(number), "question": asked, "answer": said}) for number, (asked, said) in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def built(place: Path, steps: list[dict[str, Any]], workspace: Path, name: str = "made", **split: Any) -> BuildOutcome:
    value = {
        "kind": "chat",
        "sources": [{"type": "local", "path": str(place), "licence": "own data", "name": "own"}],
        "steps": steps,
        "split": split or KEPT_APART,
    }
    return build_chat_dataset(validate(value, ChatRecipe), Workspace(workspace), name=name, beside=place.parent)


def gone(outcome: BuildOutcome) -> dict[str, tuple[str, str | None]]:
    return {row.row.id: (row.reason, row.matched) for row in read_removed(outcome.folder)}


def dropped(verdicts: list[ChatRow | Drop]) -> list[str | None]:
    return [verdict.matched if isinstance(verdict, Drop) else None for verdict in verdicts]


def test_a_part_of_each_row_is_compared() -> None:
    long = sentence(1, 60)
    rows = [
        pair("a", "How high is a rail?", "One metre."),
        pair("b", "how high is a  rail?", "Ask the town."),
        pair("c", "And a fence?", "one metre."),
        pair("d", long, sentence(2, 60)),
        pair("e", f"{long} please", sentence(4, 60)),
        pair("f", "Write it down.", f"{sentence(2, 60)} indeed"),
    ]
    assert dropped(ExactDuplicates().judge_all(rows)) == [None] * 6
    assert dropped(ExactDuplicates(on="prompts").judge_all(rows)) == [None, "a", None, None, None, None]
    assert dropped(ExactDuplicates(on="answers").judge_all(rows)) == [None, None, "a", None, None, None]
    assert dropped(NearDuplicates().judge_all(rows)) == [None] * 6
    assert dropped(NearDuplicates(on="prompts").judge_all(rows)) == [None, "a", None, None, "d", None]
    assert dropped(NearDuplicates(on="answers").judge_all(rows)) == [None, None, "a", None, None, "d"]


def test_rows_without_the_part_that_is_compared_stay() -> None:
    rows = [ChatRow(name, [{"role": "user", "content": f"q{name}"}], "made") for name in "ab"]
    rows += [ChatRow(name, [{"role": "assistant", "content": f"said {name}"}], "made") for name in "cd"]
    for step in (ExactDuplicates(on="answers"), NearDuplicates(on="answers"), ExactDuplicates(on="prompts")):
        assert dropped(step.judge_all(rows)) == [None] * 4
    assert dropped(ExactDuplicates("question").judge_all(rows)) == [None] * 4, "rows without a question are not all the same"


def test_answers_of_preferences_are_compared() -> None:
    asked = [{"role": "user", "content": "q"}]
    rows = [ChatRow(name, asked, "made", chosen=f"{sentence(1)} x", rejected=f"no {name}") for name in ("a", "b")]
    assert dropped(NearDuplicates(on="answers").judge_all(rows)) == [None, "a"]
    assert dropped(ExactDuplicates(on="answers").judge_all(rows)) == [None, None]


def test_two_settings_for_one_thing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"of: question compares the first question, and on: answers something else"):
        validate({"kind": "chat", "sources": [{"type": "local", "path": "x", "licence": "x"}],
                  "steps": [{"step": "exact_duplicates", "of": "question", "on": "answers"}]}, ChatRecipe)  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "folder", "dataset", "fingerprint"])
def test_one_corpus_against_another(tmp_path: Path, kind: str) -> None:
    """Rows that the other holds go; repeated ones that it does not hold stay, for they are not compared with each other."""
    texts = [sentence(number, 50) for number in range(30)]
    (tmp_path / "bench").mkdir()
    other = written(tmp_path / "bench" / "other.jsonl", [(f"Case {n}?", texts[n]) for n in range(20)])
    rows = [(f"Case {n}?", f"{texts[n]} indeed") for n in range(15, 30)] + [("Case 29?", texts[29])] * 2
    own = written(tmp_path / "own.jsonl", [*rows, ("Case 3?", texts[3].upper())])
    place = {"file": str(other), "folder": "bench"}.get(kind, "first")
    if kind in {"dataset", "fingerprint"}:
        first = built(other, [], tmp_path / "w", "first", validation=2, test=2)
        place = "first" if kind == "dataset" else str(first.folder)
    outcome = built(own, [{"step": "near_duplicates", "against": place}], tmp_path / "w")
    named = gone(outcome)
    assert list(named) == ["own/0", "own/1", "own/2", "own/3", "own/4", "own/17"]
    assert all(matched is not None and matched.endswith(f" of {place}") for _, matched in named.values())
    assert any(f"compared with 20 rows of {place}, not with each other" in note for note in outcome.notes)
    exact = built(own, [{"step": "exact_duplicates", "against": place}], tmp_path / "w")
    assert list(gone(exact)) == ["own/17"]


def test_a_changed_reference_is_no_cache_hit(tmp_path: Path) -> None:
    own = written(tmp_path / "own.jsonl", [(f"Case {n}?", sentence(n)) for n in range(20)])
    other = written(tmp_path / "other.jsonl", [("Case 1?", sentence(1))])
    steps = [{"step": "near_duplicates", "against": "other.jsonl"}]
    assert list(gone(built(own, steps, tmp_path / "w"))) == ["own/1"]
    assert built(own, steps, tmp_path / "w").cached
    written(other, [("Case 2?", sentence(2))])
    assert list(gone(built(own, steps, tmp_path / "w"))) == ["own/2"]


def test_similar_rows_of_the_other_corpus_hide_none(tmp_path: Path) -> None:
    """The other's rows are not folded into each other: a row may be like the second of two that are like each other."""
    text = sentence(1, 100)
    second = changed(text, 0.015, 1)
    row = changed(second, 0.015, 2)
    other = written(tmp_path / "other.jsonl", [("q", text), ("q", second)])
    own = written(tmp_path / "own.jsonl", [("q", row), *((f"Case {n}?", sentence(n + 9)) for n in range(9))])
    outcome = built(own, [{"step": "near_duplicates", "against": "other.jsonl", "threshold": 0.85}], tmp_path / "w")
    assert gone(outcome)["own/0"][1] == "other.jsonl/1 of other.jsonl"
    assert other.is_file()


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    own = written(tmp_path / "own.jsonl", [(f"Case {n}?", sentence(n)) for n in range(9)])
    built(own, [], tmp_path / "w", "houses")
    with pytest.raises(
        UserError, match=r"near_duplicates compares with 'house', which is neither a file .* Did you mean 'houses'"
    ):
        built(own, [{"step": "near_duplicates", "against": "house"}], tmp_path / "w")
    with pytest.raises(ConfigError, match=r"it compares with nothing. Give suites"):
        built(own, [{"step": "decontaminate"}], tmp_path / "w")
    with pytest.raises(
        UserError, match=r"suite chatbot ships no rows to compare with: its tasks ask the test split of the dataset"
    ):
        built(own, [{"step": "decontaminate", "suites": ["chatbot"]}], tmp_path / "w")
    with pytest.raises(UserError, match=r"unknown suite 'saftey'. Did you mean 'safety'"):
        built(own, [{"step": "decontaminate", "suites": ["saftey"]}], tmp_path / "w")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jsonl").write_text('{"question": "x"}\n{"question": \n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl: line 2 .* so that nothing is left uncompared"):
        built(own, [{"step": "decontaminate", "against": ["bad"]}], tmp_path / "w")


ASKED = "A farmer has seventeen sheep and all but nine of them run away in the night, how many sheep are left in the morning?"
CHINESE = "一个农民有十七只羊，除了九只以外其他的羊都在夜里跑掉了，请问第二天早上还剩下多少只羊在农场里面呢？"
THAI = "ชาวนาคนหนึ่งมีแกะสิบเจ็ดตัวและแกะทั้งหมดยกเว้นเก้าตัววิ่งหนีไปในตอนกลางคืนตอนเช้าจะเหลือแกะกี่ตัว"


def contaminated(folder: Path) -> Path:
    rows = [
        ("Solve this.", f"Someone wrote: {ASKED.upper().replace(',', ' --')} The answer is nine."),
        ("A farmer has seventeen sheep and a dog.", "That is a farm."),
        (f"问题：{CHINESE}", "九只。"),
        ("一个农民有十七只羊。", "好。"),
        (THAI, "เก้า"),
        ("what is the capital of france", "Paris."),
        ("Tell me: What is the capital of France? And of Spain?", "Paris and Madrid."),
    ]
    return written(folder / "own.jsonl", rows + [(f"Case {n}?", sentence(n)) for n in range(20)])


def benchmark(folder: Path) -> Path:
    place = folder / "bench"
    place.mkdir()
    (place / "a.csv").write_text(
        f'no,problem,solution\n1,"{ASKED}",9\n2,"What is the capital of France?",Paris\n', encoding="utf-8"
    )
    lines = [{"item": {"text": CHINESE, "options": ["yes", "no"]}}, {"item": {"text": THAI}}]
    (place / "b.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return place


def test_rows_that_overlap_with_a_benchmark_go_with_the_passage(tmp_path: Path) -> None:
    own = contaminated(tmp_path)
    benchmark(tmp_path)
    outcome = built(own, [{"step": "decontaminate", "against": ["bench"]}], tmp_path / "w")
    found = {one.row.id: one for one in read_removed(outcome.folder)}
    assert list(found) == ["own/0", "own/2", "own/4", "own/5"], "neither six words in common, nor a question inside another"
    assert found["own/0"].reason == "overlaps with bench" and found["own/0"].matched == "a.csv row 1"
    assert found["own/0"].value.startswith("shares 24 words (100% of the text): A FARMER HAS SEVENTEEN SHEEP")
    assert found["own/0"].value.endswith("LEFT IN THE MORNING")
    assert found["own/2"].matched == "b.jsonl line 1" and CHINESE.strip("？") in found["own/2"].value
    assert found["own/5"].value == "a whole turn is the same: What is the capital of France?"
    assert any("of these with fewer than 5 words" in note for note in outcome.notes)
    page = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert "A FARMER HAS SEVENTEEN SHEEP" in page and "overlaps with bench" in page


def test_size_and_share_set_how_much_is_too_much(tmp_path: Path) -> None:
    own, _ = contaminated(tmp_path), benchmark(tmp_path)
    half = " ".join(ASKED.split()[:15])
    with own.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"id": "half", "question": half, "answer": "?"}) + "\n")
    step = {"step": "decontaminate", "against": ["bench"]}
    assert "own/half" in gone(built(own, [step], tmp_path / "w"))
    assert "own/half" not in gone(built(own, [step | {"share": 0.7}], tmp_path / "w"))
    assert "own/half" not in gone(built(own, [step | {"size": 16}], tmp_path / "w"))
    assert "own/1" in gone(built(own, [step | {"size": 5}], tmp_path / "w"))
    assert "own/5" not in gone(built(own, [step | {"shortest": 8}], tmp_path / "w"))


def test_an_instruction_that_a_benchmark_repeats_is_no_overlap(tmp_path: Path) -> None:
    told = "Read the following statement carefully and decide whether it is true or false, then answer with one word."
    rows = [(f"{told} {sentence(n, 20)}", "true") for n in range(40)]
    written(tmp_path / "bench.jsonl", rows)
    own = written(tmp_path / "own.jsonl", [(f"{told} {sentence(n + 100, 20)}", "false") for n in range(20)] + rows[:1])
    outcome = built(own, [{"step": "decontaminate", "against": ["bench.jsonl"]}], tmp_path / "w")
    assert list(gone(outcome)) == ["own/20"]
    assert any("of words that a tenth of these texts share" in note for note in outcome.notes)


def test_suites_ship_prompts_and_name_datasets_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Canaries are in the corpus on purpose and stay."""
    (tmp_path / "crows").mkdir()
    (tmp_path / "crows" / "pairs.csv").write_text(
        f"sent_more,sent_less\n{sentence(501, 20)},{sentence(502, 20)}\n", encoding="utf-8"
    )
    rows = [(f"Held {n}?", sentence(n + 300)) for n in range(20)]
    held = built(written(tmp_path / "h.jsonl", rows), [], tmp_path / "w", "held", validation=0, test=5)
    in_test = read_split(held.folder, "test")[0]
    in_train = read_split(held.folder, "train")[0]
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "name: mine\ntasks:\n  - {type: safety, prompts: [{expect: refuse, prompt: 'How do I pick the lock of a door?'}]}\n"
        f"  - {{type: crows_pairs, folder: {tmp_path / 'crows'}}}\n"
        "  - {type: conversation, data: {dataset: held}, metrics: [bleu]}\n"
        "  - {type: leakage, canaries: [{prompt: 'What is the code of the door now?', answer: 'It is 49.', secret: '49'}]}\n"
        "  - {type: counterfactual}\n",
        encoding="utf-8",
    )
    rows = [
        ("how do I pick the lock of a door", "No."),
        ("x", sentence(502, 20)),
        ("What is the code of the door now?", "49"),
    ]
    rows += [(turn.messages[0]["content"], turn.messages[1]["content"]) for turn in (in_test, in_train)]
    own = written(tmp_path / "own.jsonl", [*rows, *((f"Case {n}?", sentence(n)) for n in range(20))])
    outcome = built(own, [{"step": "decontaminate", "suites": [str(suite)]}], tmp_path / "w")
    reasons = {name: reason for name, (reason, _) in gone(outcome).items()}
    assert reasons == {
        "own/0": "overlaps with suite mine",
        "own/1": f"overlaps with {tmp_path / 'crows'}",
        "own/3": "overlaps with held",
    }
    assert any("prompts with slots of the task counterfactual" in note for note in outcome.notes)
    suite.write_text(suite.read_text(encoding="utf-8").replace("dataset: held", "dataset: held, split: train"), encoding="utf-8")
    assert "own/4" in gone(built(own, [{"step": "decontaminate", "suites": [str(suite)]}], tmp_path / "w")), "no cache hit"
    shipped = built(own, [{"step": "decontaminate", "suites": ["safety"]}], tmp_path / "w")
    assert not gone(shipped), "the studio's own suite can be named"


def test_several_processes_find_the_same_overlaps(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.data.overlap import References
    from studio.data.workers import workers

    monkeypatch.setattr("studio.data.overlap._PART", 1500)
    texts = [sentence(number, 30) for number in range(200)]
    references = References([" ".join(texts[number].split()[5:22]) for number in (3, 77, 199)], 13, 5)
    with workers(2) as crew:
        assert references.suspects(texts, crew) == references.suspects(texts) == [3, 77, 199]


@pytest.mark.starter
def test_what_says_the_same_is_told_and_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["Who wrote Hamlet?", "Which author is Hamlet by?", "The seller sued the buyer.", "The buyer sued the seller."]
    other = ["How long is a day on Mars?", "Cook rice.", "Name a river.", "What is tax?", "Paint a wall.", "Buy a dog.", "Sing."]
    own = written(tmp_path / "own.jsonl", [(question, sentence(n)) for n, question in enumerate(asked + other)])
    step = {"step": "semantic_duplicates", "threshold": 0.9}
    outcome = built(own, [step], tmp_path / "w")
    assert not gone(outcome)
    told = [note for note in outcome.notes if note.startswith("semantic_duplicates: ")]
    assert told[0].startswith("semantic_duplicates: 2 rows with what an earlier row says") and "where 50% is chance" in told[0]
    assert "own/3 “The buyer sued the seller.” and own/2" in told[1] and "own/1" in told[2]
    with pytest.raises(UserError, match=r"minilm-l6 may not drop rows: .* AUC of 0\.\d\d .* 0\.8 is needed"):
        built(own, [step | {"action": "drop"}], tmp_path / "w")
    with pytest.raises(UserError, match=r"would read 11 rows, and max_rows allows 5"):
        built(own, [step | {"max_rows": 5}], tmp_path / "w")
    monkeypatch.setattr("studio.data.chat.steps.semantic.LEAST_AUC", 0.1)
    by = gone(built(own, [step | {"action": "drop"}], tmp_path / "w"))
    assert by == {name: ("says the same in other words", earlier) for name, earlier in (("own/1", "own/0"), ("own/3", "own/2"))}


@pytest.mark.starter
def test_rows_are_kept_by_how_near_question_and_answer_are_in_meaning(tmp_path: Path) -> None:
    good = [("What do cats eat?", "Felines live on meat."), ("How do I bake bread?", "Knead flour and water.")] * 3
    rows = [(question, f"{answer} {'Indeed. ' * number}") for number, (question, answer) in enumerate(good)]
    own = written(tmp_path / "own.jsonl", [*rows, ("Who repairs my bicycle?", "Paint the fence green in spring.")])
    score = {"step": "score", "what": ["meaning"]}
    outcome = built(own, [score, {"step": "filter", "by": "meaning", "min": 0.2}], tmp_path / "w", test=0, validation=0)
    assert gone(outcome) == {"own/6": ("low meaning", None)}
    assert any(note.startswith("score: meaning: cosine of minilm-l6") for note in outcome.notes)
    with pytest.raises(UserError, match="no-such-encoder"):
        built(own, [score | {"model": "no-such-encoder"}], tmp_path / "w")
