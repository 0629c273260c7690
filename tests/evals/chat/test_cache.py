"""The cache: a killed evaluation goes on, and no old answer meets a changed model."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file, save_file

from studio.core.errors import StudioError
from studio.core.evidence import EvidenceCache
from studio.evals.chat import cache as cache_module
from studio.evals.chat.cache import FILE, CachedSubject, identity_key
from studio.evals.chat.subjects import LocalSubject
from studio.evals.evidence import Decoding
from studio.evals.runner import evaluate_run
from studio.evals.suites import load_suite
from tests.evals.conftest import chat_rows

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

FAST = ("generation.max_new_tokens=6", "resamples=100", "thresholds=[]", "likelihood.batch_size=1", "generation.batch_size=2")
ROWS = [row.messages for row in chat_rows("x", 6)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were really scored or answered, call by call."""
    calls: list[int] = []
    for name in ("answers", "likelihoods", "text_logprobs"):
        plain = getattr(LocalSubject, name)

        def counted(self, items, *arguments, _plain=plain, **settings):
            calls.append(len(items))
            return _plain(self, items, *arguments, **settings)

        monkeypatch.setattr(LocalSubject, name, counted)
    return calls


def values(record):
    return {label: [(score.metric, score.value, score.low) for score in scores] for label, scores in record.scores.items()}


def test_the_second_time_nothing_is_asked_and_the_scores_are_the_same(tiny: Tiny, asked: list[int]) -> None:
    suite = load_suite("chatbot", FAST)
    _, first = evaluate_run(tiny.run, suite)
    assert sum(asked) == 2 * (8 + 8)
    asked.clear()
    _, second = evaluate_run(tiny.run, suite)
    assert asked == [] and values(second) == values(first)
    _, third = evaluate_run(tiny.run, suite, cached=False)
    assert sum(asked) == 32
    for label, found in values(third).items():
        assert [value for _, value, _ in found] == pytest.approx([value for _, value, _ in values(first)[label]], abs=1e-4)


@pytest.mark.parametrize("what", ["adapter", "template", "setting", "base"])
def test_a_changed_model_never_meets_an_old_answer(tiny: Tiny, asked: list[int], what: str) -> None:
    suite = load_suite("chatbot", (*FAST, "metrics=[perplexity,length]", "compare_by=null"))
    _, before = evaluate_run(tiny.run, suite)
    asked.clear()
    record = json.loads((tiny.run / "run.json").read_text())
    expected = 16
    if what == "adapter":
        path = tiny.run / "adapter" / "adapter_model.safetensors"
        weights = {name: tensor * (0.5 if "lora_B" in name else 1) for name, tensor in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    elif what == "template":
        path = tiny.run / "chat_template.jinja"
        path.write_text(path.read_text().replace("helpful", "grumpy"))
        record["template"].pop("sha256")
        expected = 32
    elif what == "setting":
        suite = load_suite("chatbot", (*FAST, "metrics=[perplexity,length]", "compare_by=null", "generation.max_new_tokens=5"))
        expected = 16
    else:
        moved = tiny.run.parents[2] / "base"
        shutil.copytree(record["base"]["path"], moved)
        weights = load_file(moved / "model.safetensors")
        name = sorted(weights)[0]
        weights[name] = weights[name] * 1.01
        save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
        record["base"] |= {"path": str(moved), "name": str(moved), "sha256": None}
        expected = 32
    (tiny.run / "run.json").write_text(json.dumps(record))
    _, after = evaluate_run(tiny.run, suite)
    assert sum(asked) == expected
    if what != "setting":
        assert values(after)["tuned"][0] != values(before)["tuned"][0]


def test_a_new_version_of_the_code_asks_anew(tiny: Tiny, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load_suite("chatbot", (*FAST, "metrics=[length]", "compare_by=null"))
    evaluate_run(tiny.run, suite, baseline="none")
    monkeypatch.setattr(cache_module, "code_version", lambda: "another")
    asked.clear()
    evaluate_run(tiny.run, suite, baseline="none")
    assert sum(asked) == 8


def test_the_code_that_decides_an_answer_is_where_the_cache_looks_for_it() -> None:
    studio = Path(cache_module.__file__).resolve().parents[2]
    assert [name for name in cache_module._CODE if not (studio / name).is_file()] == []
    assert LocalSubject.__module__.replace(".", "/") + ".py" in {f"studio/{name}" for name in cache_module._CODE}


# An evaluation that the system kills after the fifth row was scored.
KILLED = """
import os, signal, sys
from pathlib import Path
import studio.evals.chat.cache as cache, studio.evals.chat.subjects as subjects
from studio.evals.runner import evaluate_run
from studio.evals.suites import load_suite

plain, done = subjects.score_rows, []

def dying(model, rows, **settings):
    if len(done) >= 5:
        os.kill(os.getpid(), signal.SIGKILL)
    done.extend(rows)
    return plain(model, rows, **settings)

subjects.score_rows, cache._BATCHES_AT_ONCE = dying, 1
evaluate_run(Path(sys.argv[1]), load_suite("chatbot", sys.argv[2:]), baseline="none")
"""


def test_a_killed_evaluation_goes_on_where_it_was(tiny: Tiny, asked: list[int]) -> None:
    settings = (*FAST, "metrics=[perplexity]", "compare_by=null")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tiny.run), *settings], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not list((tiny.run / "evals").glob("*/*/scores.json"))
    suite = load_suite("chatbot", settings)
    _, record = evaluate_run(tiny.run, suite, baseline="none")
    assert sum(asked) == 3
    _, plain = evaluate_run(tiny.run, suite, baseline="none", cached=False)
    assert record.scores["tuned"][0].value == pytest.approx(plain.scores["tuned"][0].value, abs=1e-4)


def test_a_repeated_question_is_asked_once_and_nothing_is_remembered_as_nothing(
    subject: LocalSubject, tmp_path: Path, asked: list[int]
) -> None:
    cache = EvidenceCache(tmp_path / FILE)
    remembered = CachedSubject(subject, cache, {"weights": "x"})
    prompts = [[ROWS[0][0]], [ROWS[1][0]], [ROWS[0][0]], []]
    found = remembered.answers(prompts, Decoding(max_new_tokens=4), batch_size=2)
    assert found[0] == found[2] and found[3] is None and sum(asked) == 3
    assert remembered.answers(prompts, Decoding(max_new_tokens=4), batch_size=1) == found and sum(asked) == 3
    assert remembered.reused == 4
    other = CachedSubject(subject, cache, {"weights": "y"})
    other.answers(prompts, Decoding(max_new_tokens=4), batch_size=2)
    assert sum(asked) == 6
    cache.forget(identity_key({"weights": "y"}))
    assert cache.get(identity_key({"weights": "y"}), list(cache.get(remembered.key, []))) == {}


def test_drawn_answers_are_the_same_with_and_without_the_cache(subject: LocalSubject, tmp_path: Path) -> None:
    decoding = Decoding(max_new_tokens=6, temperature=1.0, seed=3)
    prompts = [[row[0]] for row in ROWS]
    plain = subject.answers(prompts, decoding, batch_size=2)
    remembered = CachedSubject(subject, EvidenceCache(tmp_path / FILE), {})
    assert remembered.answers(prompts, decoding, batch_size=3) == plain == remembered.answers(prompts, decoding, batch_size=6)


def test_a_damaged_cache_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(b"this is no database, and it is longer than a header of sqlite would be" * 4)
    with pytest.warns(UserWarning, match="is damaged .file is not a database. and was set aside"):
        cache = EvidenceCache(path)
    cache.put("s", {"a": 1})
    assert cache.get("s", ["a", "b"]) == {"a": 1}
    assert (tmp_path / f"{FILE}.damaged").is_file()


def test_a_cache_that_another_process_holds_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.core.evidence._BUSY_SECONDS", 0.2)
    path = tmp_path / FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudioError, match="cannot be opened: database is locked"):
            EvidenceCache(path)
    assert [file.name for file in tmp_path.glob(f"{FILE}.damaged*")] == []


def _put(path: Path, number: int) -> None:
    EvidenceCache(path).put("s", {str(number): number})


def test_evaluations_that_start_at_once_share_a_new_cache(tmp_path: Path) -> None:
    path, context = tmp_path / FILE, multiprocessing.get_context("fork")
    crew = [context.Process(target=_put, args=(path, number)) for number in range(16)]
    for process in crew:
        process.start()
    for process in crew:
        process.join(60)
    assert [process.exitcode for process in crew] == [0] * 16
    assert len(EvidenceCache(path).get("s", [str(number) for number in range(16)])) == 16
