"""A whole round on a tiny run, interrupted at every step, refused where it should be, tried on a share of the traffic."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.workspace import read_run
from studio.feedback.store import Origin, RequestRow
from studio.loop import improving
from studio.loop.fates import read_fates
from studio.loop.rounds import STEPS, list_rounds, new_round, only_one
from studio.serve.aliases import list_aliases, list_canaries, promote
from studio.serve.blocked import block
from studio.serve.state import StatePaths
from tests.conftest import Result
from tests.loop.conftest import InUse, rails

Studio = Callable[..., Result]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.long
def test_a_round_from_corrections_to_the_alias(studio: Studio, in_use: InUse) -> None:
    in_use.correct(rails(40))
    done = studio("improve", in_use.folder, "--json")
    assert done.code == 0, done.err
    assert done.json["status"] == "promoted", done.json["sentence"]
    candidate = done.json["steps"]["preferences"]["candidate"]
    assert list_aliases(in_use.aliases)["production"]["run"] == candidate
    record = read_run(in_use.workspace.find_run(candidate))
    assert record.start["run"] == in_use.run
    report = (Path(done.json["folder"]) / "report.md").read_text(encoding="utf-8")
    assert "**Better.**" in report and "## New questions" in report and "40 new judgements of 3 people" in report
    # Old rows were replayed, and nothing that is measured was trained on.
    rows = lines_of(Path(done.json["folder"]) / "new-questions.jsonl")
    assert 3 <= len(rows) <= 16
    trained = (Path(done.json["folder"]) / "sft.jsonl").read_text(encoding="utf-8")
    assert not [row for row in rows if row["messages"][0]["content"] in trained]
    sources = {
        source["name"]: source["rows"] for source in studio("runs", "lineage", candidate, "--json").json[-1]["dataset"]["sources"]
    }
    assert sources["old"] > 0 and sources["said"] == len(lines_of(Path(done.json["folder"]) / "sft.jsonl"))
    again = studio("improve", in_use.folder)
    assert again.code == 0 and "nothing to learn yet: 0 new judgements" in again.err
    assert len(list_rounds(in_use.workspace, "rails")) == 1
    tree = studio("runs", "lineage").out
    assert f"{candidate}   <- production" in tree and f"{in_use.run}   <- production before" in tree
    assert "round 1 of rails: promoted" in tree
    where = studio("runs", "lineage", "--row", "Who may paint the", "--json").json
    assert any(row["behind"] == ["production"] and row["runs"] == [candidate] for row in where)
    assert all(not row["behind"] for row in where if "questions" in row["dataset"])


def test_a_row_that_is_measured_is_not_called_learnt(studio: Studio, in_use: InUse) -> None:
    found = studio("runs", "lineage", "--row", "door", "--json").json
    assert {row["split"] for row in found} >= {"train", "test"}
    for row in found:
        assert row["runs"] == [in_use.run] and row["behind"] == (["production"] if row["split"] == "train" else [])
    head = studio("runs", "lineage", "--row", "door").out.splitlines()[0]
    assert "runs on the Dataset" in head and "learnt by alias" in head and "trained" not in head


@pytest.mark.long
def test_a_round_that_is_killed_in_every_step_goes_on_and_repeats_nothing(
    studio: Studio, in_use: InUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use.correct(rails(40))
    done: dict[str, str] = {}
    trainings: Counter[str] = Counter()
    real_train, real_measure = improving.training.train, improving.measuring.measure
    measured: Counter[str] = Counter()

    def train(wish: Any, *rest: Any) -> str:
        trainings[wish.name] += 1
        return real_train(wish, *rest)

    def measure(suite: Any, *rest: Any, **more: Any) -> Path:
        measured[suite.data.split] += 1
        return real_measure(suite, *rest, **more)

    monkeypatch.setattr(improving.training, "train", train)
    monkeypatch.setattr(improving.measuring, "measure", measure)
    for step in STEPS:
        whole = improving._STEPS[step]

        def dies(work: Any, whole: Any = whole, step: str = step) -> bool:
            # As late as it can be: all of the step is done but the note that says so.
            monkeypatch.setattr(work.round, "done", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            return whole(work)

        monkeypatch.setitem(improving._STEPS, step, dies)
        killed = studio("improve", in_use.folder)
        assert killed.code == 130, (step, killed.err)
        record = list_rounds(in_use.workspace, "rails")[-1].record
        assert record.next_step == step
        for known, finished in done.items():
            assert record.steps[known]["finished"] == finished, f"{known} was repeated after a kill in {step}"
        monkeypatch.setitem(improving._STEPS, step, whole)
        # One step further only, so that the next one can die too.
        following = STEPS[STEPS.index(step) + 1] if step != STEPS[-1] else None
        if following:
            stops = improving._STEPS[following]
            monkeypatch.setitem(improving._STEPS, following, lambda _: False)
            assert studio("improve", in_use.folder).code == 0
            monkeypatch.setitem(improving._STEPS, following, stops)
        else:
            last = studio("improve", in_use.folder, "--json")
            assert last.code == 0 and last.json["status"] == "promoted"
        done = {name: entry["finished"] for name, entry in list_rounds(in_use.workspace, "rails")[-1].record.steps.items()}
    rounds = list_rounds(in_use.workspace, "rails")
    assert len(rounds) == 1 and rounds[0].record.status == "promoted"
    assert len(list((in_use.workspace.runs / "rails-r001-sft").glob("[!.]*"))) == 1, "a training was repeated"
    assert trainings["rails-r001-sft"] == 2, "the second call found the finished run"
    assert measured == {"test": 1, "train": 1}, "reports that were there were made again"


def test_two_at_once_the_second_is_refused_in_one_sentence(studio: Studio, in_use: InUse) -> None:
    in_use.correct(rails(12))
    with only_one(in_use.workspace, "rails"):
        refused = studio("improve", in_use.folder)
    assert refused.code == 2
    assert "another improve of rails is at work (process " in refused.err and refused.err.count("\n") == 1


@pytest.mark.long
def test_two_processes_at_once_and_the_one_that_is_killed(studio: Studio, in_use: InUse) -> None:
    """The second is refused while the first trains; a SIGKILL of the first lets the next one go on where it was."""
    in_use.rules(sft_settings=["epochs=400"])
    in_use.correct(rails(40))
    command = [sys.executable, "-m", "studio.cli.main", "improve", str(in_use.folder)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not list((in_use.workspace.runs / "rails-r001-sft").glob("[!.]*")):
            assert first.poll() is None, first.stderr.read() if first.stderr else ""
            assert time.monotonic() < end
            time.sleep(0.1)
        refused = studio("improve", in_use.folder)
        assert refused.code == 2 and f"another improve of rails is at work (process {first.pid}, since " in refused.err
        assert studio("improve", in_use.folder, "--status", "--json").json[0]["status"] == "open"
    finally:
        first.kill()
        first.communicate()
    in_use.rules(sft_settings=["epochs=4"])
    again = studio("improve", in_use.folder, "--json")
    assert again.code == 0, again.err
    assert len(list_rounds(in_use.workspace, "rails")) == 1 and again.json["steps"]["sft"]["run"]


def test_a_clock_that_was_ahead_in_a_round_does_not_silence_what_is_said_after(studio: Studio, in_use: InUse) -> None:
    in_use.correct(rails(4))
    made = new_round(in_use.workspace, "rails", "production", {"model": "doors", "run": in_use.run}, time.time() + 1e9)
    made.stands("rejected", "not better")
    told = studio("improve", in_use.folder)
    assert told.code == 0 and "round 1 is dated in the future: a clock was wrong" in told.err
    assert "4 new judgements, and improve.judgements asks for 10" in told.err


def test_a_trial_that_began_in_the_future_says_so(studio: Studio, waiting: InUse) -> None:
    waiting.rules(canary={"share": 0.2, "hours": 1e-6, "requests": 30})
    assert studio("improve", waiting.folder, "--yes").code == 0
    book = json.loads(waiting.aliases.read_text(encoding="utf-8"))
    later = datetime.fromtimestamp(time.time() + 7200, UTC).isoformat(timespec="seconds")
    book["aliases"]["production"]["canary"]["since"] = later
    waiting.aliases.write_text(json.dumps(book), encoding="utf-8")
    looked = studio("watch", waiting.folder, "--once")
    assert looked.code == 0 and "the trial of rails-r001-sft begins in 2.0 hours: a clock was wrong, or still is" in looked.out
    assert "production" in list_canaries(waiting.aliases)


@pytest.mark.long
def test_a_base_that_is_gone_is_told_and_the_round_goes_on_when_it_is_back(studio: Studio, in_use: InUse, tmp_path: Path) -> None:
    """The run in use is there, the weights below it are not: neither a round nor a measurement of the watch can be made."""
    run = in_use.workspace.find_run(in_use.run)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    base = Path(record["base"]["path"])
    shutil.copytree(base, tmp_path / "own")
    write_json(run / "run.json", record | {"base": record["base"] | {"path": str(tmp_path / "own")}})
    shutil.move(tmp_path / "own", tmp_path / "moved")
    in_use.correct(rails(40))
    gone = studio("improve", in_use.folder)
    assert gone.code == 2 and "Traceback" not in gone.err
    assert str(tmp_path / "own") in gone.err.splitlines()[-1]
    assert list_aliases(in_use.aliases)["production"]["run"] == in_use.run
    in_use.rules(rules={"questions": {"suites": ["rails"], "fewest": 5}})
    watched = studio("watch", in_use.folder, "--once")
    assert watched.code == 3 and "was not measured on new questions: " in watched.err and str(tmp_path / "own") in watched.err
    shutil.move(tmp_path / "moved", tmp_path / "own")
    back = studio("improve", in_use.folder, "--json")
    assert back.code == 0, back.err
    assert len(list_rounds(in_use.workspace, "rails")) == 1 and back.json["steps"]["sft"]["run"]


def test_rounds_that_are_not_worth_it(studio: Studio, in_use: InUse) -> None:
    nothing = studio("improve", in_use.folder)
    assert nothing.code == 2 and "there is no feedback in" in nothing.err
    in_use.correct(rails(4))
    few = studio("improve", in_use.folder)
    assert few.code == 0 and "4 new judgements, and improve.judgements asks for 10" in few.err
    in_use.correct(rails(30, start=4), users=["ada"])
    block(StatePaths.of(in_use.workspace).blocked, "ben")
    block(StatePaths.of(in_use.workspace).blocked, "eve")
    alone = studio("improve", in_use.folder)
    assert alone.code == 0 and "of 1 people, and improve.people asks for 2; 2 of a blocked user left out" in alone.err
    assert list_rounds(in_use.workspace, "rails") == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"judgments": 10}, "unknown field 'judgments' in 'improve'. Did you mean 'judgements'?"),
        ({"promote": "always"}, "'improve.promote' is 'always'"),
        ({"suite": "rals"}, "'rals'"),
        ({"sft": "chat/lorra"}, "'chat/lorra'"),
        ({"better": ["bleu"]}, "'improve.better' names 'bleu', which was not measured. Measured: perplexity, chrf."),
        ({"rules": {"intervall": "15m"}}, "unknown field 'intervall' in 'watch.rules'. Did you mean 'interval'?"),
        ({"rules": {"interval": "15 minutes"}}, "is no length of time"),
    ],
)
def test_slips_in_the_rules(studio: Studio, in_use: InUse, change: dict[str, Any], sentence: str) -> None:
    in_use.correct(rails(30))
    in_use.rules(**change)
    wrong = studio("improve", in_use.folder)
    assert wrong.code == 2, wrong.err
    assert sentence in wrong.err.splitlines()[-1]
    assert "Traceback" not in wrong.err


def test_an_alias_that_stands_for_nothing_or_for_what_is_gone(studio: Studio, in_use: InUse) -> None:
    in_use.correct(rails(12))
    in_use.rules(rules={"alias": "beta"})
    missing = studio("improve", in_use.folder)
    assert missing.code == 2 and "nothing stands behind the alias 'beta'" in missing.err and "--as beta" in missing.err
    in_use.rules()
    shutil.rmtree(in_use.workspace.find_run(in_use.run))
    gone = studio("improve", in_use.folder)
    assert gone.code == 2 and f"there is no run '{in_use.run}'" in gone.err
    watched = studio("watch", in_use.folder, "--once")
    assert watched.code == 3 and f"production stands for {in_use.run}, which is gone" in watched.err


def test_a_person_is_asked_and_says_no_or_yes(studio: Studio, waiting: InUse) -> None:
    waits = studio("improve", waiting.folder)
    assert waits.code == 0 and "waiting" in waits.out and "--yes" in waits.out
    assert list_aliases(waiting.aliases)["production"]["run"] == waiting.run
    # Somebody put another run there meanwhile: what was measured is no longer what is in use.
    promote(waiting.aliases, "production", "other", "other/1")
    waiting.rules(promote="ask", canary={"share": 0.5})
    changed = studio("improve", waiting.folder, "--yes")
    assert changed.code == 2 and "production stands for other/1 now" in changed.err and "--no" in changed.err
    promote(waiting.aliases, "production", "doors", waiting.run)
    waiting.rules(promote="ask")
    assert studio("improve", waiting.folder, "--json").json["status"] == "promoted"
    assert "promoted" in studio("improve", waiting.folder, "--status").out


def test_a_person_gives_a_round_up(studio: Studio, waiting: InUse) -> None:
    both = studio("improve", waiting.folder, "--yes", "--no")
    assert both.code == 2 and "exclude each other" in both.err
    assert "given up" in studio("improve", waiting.folder, "--no").out
    again = studio("improve", waiting.folder, "--no")
    assert again.code == 2 and "no round of rails waits for an answer" in again.err
    assert list_aliases(waiting.aliases)["production"]["run"] == waiting.run


def test_a_model_that_is_not_better_is_not_promoted(studio: Studio, in_use: InUse) -> None:
    """Its people taught it nonsense: it learns that, and forgets."""
    in_use.rules(sft_settings=["epochs=12", "learning_rate=0.3"], preferences="none")
    in_use.correct([(question, "zq " * 12) for question, _ in rails(40)])
    done = studio("improve", in_use.folder, "--json")
    assert done.code == 0 and done.json["status"] == "rejected", done.json
    assert f"not better than {in_use.run}: " in done.json["sentence"]
    assert list_aliases(in_use.aliases)["production"]["run"] == in_use.run
    assert "**Not better.**" in (Path(done.json["folder"]) / "report.md").read_text(encoding="utf-8")


def answer(waiting: InUse, model: str, count: int, *, failed: int) -> None:
    store = waiting.store
    rows = [RequestRow(Origin(model, f"user{n}", "serve"), "error" if n < failed else "ok", seconds=0.1) for n in range(count)]
    store.record_requests(rows)
    store.close()


@pytest.mark.parametrize("who", ["improve", "watch"])
def test_a_trial_that_goes_wrong_goes_back_by_itself(studio: Studio, waiting: InUse, who: str) -> None:
    waiting.rules(canary={"share": 0.2, "hours": 0.0001, "requests": 30})
    begun = studio("improve", waiting.folder, "--yes")
    assert begun.code == 0 and "trial" in begun.out, begun.err
    tried = list_canaries(waiting.aliases)["production"]
    answer(waiting, "doors", 200, failed=2)
    answer(waiting, tried.model, 40, failed=20)
    looked = studio(who, waiting.folder, *(["--once"] if who == "watch" else []))
    assert looked.code == (3 if who == "watch" else 0)
    assert "failed answers are shown to be more with" in looked.err + looked.out
    assert list_canaries(waiting.aliases) == {} and list_aliases(waiting.aliases)["production"]["run"] == waiting.run
    done = (
        studio("improve", waiting.folder, "--status", "--json")
        if who == "improve"
        else studio("improve", waiting.folder, "--json")
    )
    record = done.json[-1] if who == "improve" else done.json
    assert record["status"] == "went back"


def test_a_trial_that_goes_well_ends_with_the_promotion(studio: Studio, waiting: InUse) -> None:
    waiting.rules(canary={"share": 0.2, "hours": 1e-6, "requests": 100, "tolerated": 0.1})
    assert "0 of 100 answers" in studio("improve", waiting.folder, "--yes").out
    tried = list_canaries(waiting.aliases)["production"]
    answer(waiting, "doors", 400, failed=4)
    answer(waiting, tried.model, 60, failed=1)
    assert "60 of 100 answers" in studio("improve", waiting.folder).out
    answer(waiting, tried.model, 60, failed=0)
    ended = studio("improve", waiting.folder, "--json")
    assert ended.json["status"] == "promoted", ended.json["sentence"]
    assert list_canaries(waiting.aliases) == {} and list_aliases(waiting.aliases)["production"]["run"] == tried.run


def test_a_full_disk_is_told_and_the_round_goes_on_afterwards(studio: Studio, in_use: InUse, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 56_000)
    (in_use.workspace.root / "rounds").symlink_to(small_disk, target_is_directory=True)
    in_use.correct(rails(36))
    full = studio("improve", in_use.folder)
    assert full.code == 1 and "the disk is full" in full.err and "Traceback" not in full.err
    filler.unlink()
    assert studio("improve", in_use.folder, "--json").code == 0
    rounds = list_rounds(in_use.workspace, "rails")
    assert len(rounds) == 1 and rounds[0].record.steps["preferences"]["candidate"]


@pytest.mark.long
def test_what_is_held_out_stays_so_in_later_rounds(studio: Studio, in_use: InUse) -> None:
    in_use.rules(sft_settings=["epochs=1"])
    in_use.correct(rails(40))
    assert studio("improve", in_use.folder).code == 0
    in_use.correct([*rails(40, start=30), *rails(20)])
    assert studio("improve", in_use.folder).code == 0
    first, second = list_rounds(in_use.workspace, "rails")
    before, after = read_fates(first.folder), read_fates(second.folder)
    assert before and all(after[question] == held for question, held in before.items())
    assert len(after) > len(before)
    trained = {line["messages"][0]["content"] for line in lines_of(second.folder / "sft.jsonl")}
    assert not trained & {line["messages"][0]["content"] for line in lines_of(first.folder / "new-questions.jsonl")}


def test_a_damaged_state_is_told(studio: Studio, in_use: InUse) -> None:
    in_use.correct(rails(12))
    folder = in_use.workspace.root / "rounds" / "rails" / "001"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"project": "rails", "numb')
    damaged = studio("improve", in_use.folder)
    assert damaged.code == StudioError.exit_code and "state.json is cut off or damaged" in damaged.err
