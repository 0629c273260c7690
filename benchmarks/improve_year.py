"""A year of the loop: shifting questions, users who lie, poisoned hours; quality with the loop, without it, and with a
careless one.

    python benchmarks/improve_year.py [--weeks 52] [--arms loop careless none] [--write-docs]

A tiny chat model (three layers, from a config) knows a catalogue: what of each thing is asked in six ways, and the answer is one
word. Every four weeks new things come into the catalogue and draw a growing share of the questions. Simulated people ask the
model in use, give thumbs and write corrections; a few always lie, some weeks have an hour in which forty accounts flood the
page with one wrong answer, and in two weeks half of the people lie. Everything else is the studio's own: the feedback file,
the Datasets, LoRA trainings, suites with their gate, the trial on a share of the people, aliases. Only the clock is set by
hand.

Arms: ``none`` leaves the first model in use; ``loop`` is ``studio improve`` with its rules; ``careless`` trains on everything
that was said and promotes every round. Quality is the expected share of right answers to the questions of a week, over every
way of asking, by enumeration: no sampling error. A promotion is bad where the new model is worse by that measure than the one
it replaces. Prints a markdown table; exits 1 when the loop promotes a bad round or is not better than no loop at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import docs
from studio.adapters.chat.loading import load_run
from studio.core.workspace import Workspace
from studio.data.kinds import load_recipe
from studio.feedback.store import FILE_NAME, FeedbackStore, Origin, RequestRow
from studio.loop import improving, measuring, rolling, rounds
from studio.loop.training import Wish, train
from studio.schema.project import Project
from studio.serve import aliases
from studio.serve.state import StatePaths

WEEK, HOUR = 7 * 86_400.0, 3600.0
START = datetime(2025, 1, 6, tzinfo=UTC).timestamp()  # a Monday
EVERY = 4  # weeks between two rounds, and between two additions to the catalogue
REQUESTS = 260  # a week
THINGS = [
    "lamp", "sofa", "table", "chair", "shelf", "carpet", "mirror", "clock", "vase", "stool", "bench", "desk", "curtain", "pillow",
    "basket", "bottle", "kettle", "plate", "spoon", "bowl", "towel", "candle", "frame", "drawer", "cabinet", "ladder", "bucket",
    "broom", "hammer", "saw", "drill", "wrench", "rope", "tent", "lantern", "stove", "cooler", "hammock", "umbrella", "parasol",
    "fence", "gate", "swing", "fountain", "birdbath", "trellis", "planter", "barrow", "shovel", "rake", "hose", "sprinkler",
    "mower", "shears", "gloves", "apron", "boots", "raincoat", "helmet", "whistle", "compass", "canteen", "blanket", "cushion",
    "quilt", "rug", "lampshade", "doorbell", "knocker", "hinge", "handle", "lock",
]  # fmt: skip
WHAT = ("colour", "maker", "shelfmark")
ANSWERS = {
    "colour": ("red", "green", "blue", "white", "black", "yellow"),
    "maker": ("Olsen", "Berg", "Lund", "Holm", "Dahl", "Vik"),
    "shelfmark": ("north", "south", "east", "west", "upper", "lower"),
}
ASKED = (
    "what is the {w} of the {t}?", "please tell me which {w} our {t} has", "{t}, {w}?", "look up {w} under {t}",
    "a customer wants to know the {w} for a {t}", "do we know the {t} and its {w}?",
)  # fmt: skip
FIRST, ADDED = 24, 4
LIE = "purple"
WORDS = {"none": "the first model all year", "loop": "`studio improve`", "careless": "every round promoted, everybody heard"}
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' + message['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
)
PRESET = {
    "kind": "chat", "method": "lora", "lora": {"rank": 16, "alpha": 32}, "dtype": "float32", "max_length": 64, "batch_size": 32,
    "learning_rate": 0.004, "epochs": 200, "max_steps": 110, "eval_every": 20, "save_every": 20,
}  # fmt: skip
SUITE = {
    "name": "catalogue",
    "description": "Answers to questions on the catalogue.",
    "metrics": ["perplexity", "exact_match"],
    "generation": {"max_new_tokens": 4, "batch_size": 128},
    "resamples": 500,
    "thresholds": [
        {"metric": "exact_match", "not_worse_than_base_by": 0.1},
        {"metric": "perplexity", "at_most_of_base": 1.25},
    ],
}


class Catalogue:
    """The truth: what of each thing is right, and which things are asked for in a week."""

    def __init__(self) -> None:
        """The same world every time."""
        rng = random.Random(0)
        self.truth = {(thing, what): rng.choice(ANSWERS[what]) for thing in THINGS for what in WHAT}

    def questions(self, things: list[str]) -> list[tuple[str, str]]:
        """Every way of asking about things, with the right answer."""
        return [(way.format(t=t, w=w), self.truth[t, w]) for t in things for w in WHAT for way in ASKED]

    def shares(self, week: int) -> dict[str, float]:
        """Share of the questions of a week that each thing draws: each addition takes a fifth of what was there."""
        shares = dict.fromkeys(THINGS[:FIRST], 1 / FIRST)
        for number in range(1 + week // EVERY):
            added = THINGS[FIRST + ADDED * number : FIRST + ADDED * (number + 1)]
            if not added:
                break
            shares = {thing: 0.8 * share for thing, share in shares.items()} | dict.fromkeys(added, 0.2 / len(added))
        return shares


class Speaker:
    """What each run answers to every question that is asked until some week; a run is asked once for each."""

    def __init__(self, workspace: Workspace, catalogue: Catalogue) -> None:
        """Nothing is asked yet."""
        self.workspace, self.catalogue = workspace, catalogue
        self.known: dict[str, dict[str, str]] = {}

    def answers(self, run: str, week: int) -> dict[str, str]:
        """Question to answer."""
        found = self.known.setdefault(run, {})
        asked = [question for question, _ in self.catalogue.questions(list(self.catalogue.shares(week))) if question not in found]
        if asked:
            loaded = load_run(self.workspace.find_run(run))
            tokenizer, model = loaded.tokenizer, loaded.model.eval()
            tokenizer.padding_side = "left"
            for begin in range(0, len(asked), 256):
                part = asked[begin : begin + 256]
                talks = [[{"role": "user", "content": question}] for question in part]
                texts = [tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) for talk in talks]
                batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False, return_token_type_ids=False)
                with torch.no_grad():
                    made = model.generate(**batch, max_new_tokens=4, do_sample=False)
                said = tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
                found |= {question: text.strip() for question, text in zip(part, said, strict=True)}
        return found


class Clock:
    """The time of the year that is played; set by hand, and read by everything that dates a row, a round or a trial."""

    def __init__(self) -> None:
        """From here on the studio's clock is this one."""
        self.now = START
        told = SimpleNamespace(time=lambda: self.now)
        import studio.feedback.store as store

        for module in (store, improving, rolling):
            module.time = told
        aliases._now = rounds.now_text = lambda: datetime.fromtimestamp(self.now, UTC).isoformat(timespec="seconds")


@dataclass
class Arm:
    """One way of living through the year."""

    name: str
    workspace: Workspace
    folder: Path
    project: Project | None
    quality: list[float] = field(default_factory=list)
    rounds: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    worse_candidates: int = 0
    said: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def paths(self) -> StatePaths:
        """The server's files."""
        return StatePaths.of(self.workspace)

    @property
    def used(self) -> str:
        """The run behind the alias."""
        return aliases.list_aliases(self.paths.aliases)["production"]["run"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--arms", nargs="+", default=["loop", "careless", "none"])
    parser.add_argument("--keep", type=Path, help="Folder for the workspaces, instead of a temporary one.")
    docs.add_option(parser)
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        catalogue, clock = Catalogue(), Clock()
        make_first(place / "first", Workspace.open(place / "first" / "workspace"), catalogue)
        arms = [live(name, place, catalogue, clock, chosen.weeks) for name in chosen.arms]
    lines = table(arms, chosen.weeks, time.monotonic() - started, sum(os.times()[:4]))
    print("\n".join(lines))
    if chosen.write_docs:
        docs.write_section("improve-year", "\n".join(lines))
        docs.write_between(
            docs.ROOT / "docs" / "loop.md", "improve-year", "\n".join(lines), packages=("torch", "transformers", "scipy")
        )
    loop = next((arm for arm in arms if arm.name == "loop"), None)
    none = next((arm for arm in arms if arm.name == "none"), None)
    failed = loop is not None and (loop.bad > 0 or (none is not None and loop.quality[-1] <= none.quality[-1]))
    return 1 if failed else 0


def live(name: str, place: Path, catalogue: Catalogue, clock: Clock, weeks: int) -> Arm:
    """A year of one arm, from the same first model."""
    began = time.monotonic()
    clock.now = START
    folder = place / name
    workspace = Workspace.open(folder / "workspace")
    shutil.copytree(place / "first", folder)
    first = workspace.find_run("catalogue")
    speaker = Speaker(workspace, catalogue)
    aliases.promote(StatePaths.of(workspace).aliases, "production", "catalogue", f"{first.parent.name}/{first.name}")
    arm = Arm(name, workspace, folder, write_project(folder, careless=name == "careless") if name != "none" else None)
    for week in range(weeks):
        clock.now = START + week * WEEK
        arm.quality.append(quality(speaker.answers(arm.used, week), catalogue, week))
        if arm.project is None:
            continue
        play_week(arm, speaker, catalogue, week, clock)
        clock.now = START + (week + 1) * WEEK - HOUR
        if arm.project is not None and (week % EVERY == EVERY - 1 or in_trial(arm)):
            improve(arm, speaker, catalogue, week)
        print(f"{name} week {week}: {arm.quality[-1]:.3f} {dict(arm.rounds)}", file=sys.stderr)
    arm.seconds = time.monotonic() - began
    return arm


def in_trial(arm: Arm) -> bool:
    """Whether a round is on trial."""
    return "production" in aliases.list_canaries(arm.paths.aliases)


def improve(arm: Arm, speaker: Speaker, catalogue: Catalogue, week: int) -> None:
    """One call of ``studio improve``, and whether what it did was good for the questions of the coming week."""
    before = arm.used
    blind = {"verdict": lambda *_: (True, ["nobody looked"]), "plans": lambda *_: {}}
    with patch.multiple(measuring, **blind) if arm.name == "careless" else nullcontext():
        made = improving.improve(arm.project, arm.folder, arm.workspace, say=lambda _: None)
    if made is None:
        arm.rounds["nothing to learn"] += 1
        return
    record = made.record
    if record.status not in rounds.FINISHED:
        return
    arm.rounds[record.status] += 1
    candidate = record.steps.get("preferences", {}).get("candidate")
    if candidate is None:
        return
    new, old = (quality(speaker.answers(run, week + 1), catalogue, week + 1) for run in (candidate, before))
    print(f"  {arm.name} round {record.number}: {record.status}, {old:.3f} -> {new:.3f} {record.sentence[:200]}", file=sys.stderr)
    arm.worse_candidates += new < old
    arm.bad += record.status == "promoted" and new < old


def quality(answers: dict[str, str], catalogue: Catalogue, week: int) -> float:
    """Expected share of right answers in a week."""
    return sum(
        share * sum(answers[q] == right for q, right in catalogue.questions([thing])) / (len(WHAT) * len(ASKED))
        for thing, share in catalogue.shares(week).items()
    )


def play_week(arm: Arm, speaker: Speaker, catalogue: Catalogue, week: int, clock: Clock) -> None:
    """People ask, and say what they think."""
    rng = random.Random(f"{week}")  # the same people with the same questions in every arm
    shares = catalogue.shares(week)
    way = aliases.alias_reader(arm.paths.aliases).value()["production"]
    runs = {way.model: arm.used} | ({way.canary.model: way.canary.run} if way.canary is not None else {})
    moments = [(START + week * WEEK + rng.random() * (WEEK - 2 * HOUR), False) for _ in range(REQUESTS)]
    if week in {14, 30, 45}:
        moments += [(START + week * WEEK + 3.4 * 86_400 + number * 20, True) for number in range(120)]
    store, rows = FeedbackStore(arm.workspace.root / FILE_NAME), []
    for moment, flood in sorted(moments):
        clock.now = moment
        thing = rng.choices(list(shares), list(shares.values()))[0]
        question, right = rng.choice(catalogue.questions([thing]))
        number = rng.randrange(30)
        # Three people always lie; in two weeks half of all do; a flood comes from accounts that nobody has seen before.
        lies = flood or number < 3 or (week in {37, 38} and number < 15)
        user = f"fake{rng.randrange(40)}" if flood else f"user{number}"
        row, said = ask(
            way, store, lambda name, asked=question: speaker.answers(runs[name], week)[asked], user, question, right, rng,
            now=moment, lies=lies, always=flood,
        )  # fmt: skip
        rows.append(row)
        arm.said[said] += bool(said)
    store.record_requests(rows)
    store.close()


def ask(
    way: aliases.Way, store: FeedbackStore, answers: Callable[[str], str], user: str, question: str, right: str,
    rng: random.Random, *, now: float, lies: bool, always: bool = False,
) -> tuple[RequestRow, str]:  # fmt: skip
    """One question to whoever answers this person, and what they say of it; the request's row, and what was said in a word."""
    name = way.lead(user, {}, lambda _: True)
    answer = answers(name)
    origin, prompt, identity = Origin(name, user, "serve"), [{"role": "user", "content": question}], uuid.uuid4().hex
    row = RequestRow(origin, id=identity, created=now, seconds=0.1, prompt_tokens=12, characters=len(answer))
    seems = (answer == right) != lies
    said = {"prompt": prompt, "completion": answer, "request": identity}
    luck = rng.random()
    wrong = rng.choice([word for words in ANSWERS.values() for word in words if word != right]) if not always else LIE
    correction = wrong if lies else right
    if seems and luck < 0.3:
        store.rate(origin, value=1, **said)
        return row, "thumbs up"
    if not seems and (luck < 0.5 or always) and correction.strip() != answer.strip():
        store.correct(origin, correction=correction, **said)
        return row, "lies" if lies else "corrections"
    if not seems and luck < 0.75:
        store.rate(origin, value=-1, **said)
        return row, "thumbs down"
    return row, ""


def make_first(folder: Path, workspace: Workspace, catalogue: Catalogue) -> None:
    """The base, which can say every word, and the run that knows the first catalogue."""
    folder.mkdir(parents=True)
    base = folder / "base"
    save_base(base)
    words = [*THINGS, *(word for of in ANSWERS.values() for word in of), LIE]
    practice = [(f"say {word}", word) for word in words * 3]
    rng = random.Random(1)
    # The ways of asking, with answers that are not the catalogue's: what it knows of things it learns from its rows.
    practice += [(way.format(t=t, w=w), rng.choice(ANSWERS[w])) for t in THINGS for w in WHAT for way in ASKED]
    spoken = dataset(folder, workspace, "practice", practice, {"validation": 0, "test": 0})
    full = {**PRESET, "method": "full", "learning_rate": 0.003, "max_steps": 400}
    full.pop("lora")
    (folder / "full.yaml").write_text(yaml.safe_dump(full))
    (folder / "small.yaml").write_text(yaml.safe_dump(PRESET))
    (folder / "kto.yaml").write_text(yaml.safe_dump({**PRESET, "objective": "kto", "learning_rate": 0.0005, "epochs": 1}))
    quiet = lambda _: None  # noqa: E731
    able = train(Wish("full.yaml", spoken, str(base), [], "able", folder), workspace, quiet)
    rows = catalogue.questions(THINGS[:FIRST])
    known = dataset(
        folder, workspace, "catalogue", rows, {"validation": 20, "test": 150, "threshold": 0.99, "same_question": False}
    )
    model = str(workspace.find_run(able) / "model")
    train(Wish("small.yaml", known, model, ["max_steps=600"], "catalogue", folder), workspace, quiet)


def dataset(folder: Path, workspace: Workspace, name: str, rows: list[tuple[str, str]], split: dict[str, Any]) -> str:
    """A Dataset of questions and answers."""
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    recipe = {"kind": "chat", "sources": [{"type": "local", "path": str(file), "licence": "own data"}], "split": split}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    kind, read = load_recipe(path)
    made = kind.build(read, workspace, name=name, beside=folder, tell=lambda _: None)
    return f"{made.record.name}/{made.record.fingerprint}"


def save_base(folder: Path) -> None:
    """Three layers, and a tokenizer that knows every word of the catalogue."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = [way.format(t=t, w=w) for way in ASKED for t in THINGS for w in WHAT]
    texts += [f"say {word} user assistant system" for of in ANSWERS.values() for word in (*of, LIE)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token="<|endoftext|>", model_max_length=128,
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)


def write_project(folder: Path, *, careless: bool) -> Project:
    """``project.yaml`` with the rules of an arm."""
    (folder / "evals").mkdir()
    (folder / "evals" / "catalogue.yaml").write_text(yaml.safe_dump(SUITE))
    improve: dict[str, Any] = {
        "judgements": 30, "people": 3, "sft": "small.yaml", "kto": "kto.yaml", "preferences": "none", "general": None,
        "promote": "rule", "near": 0.97, "held_out": 0.2,
        "canary": {"share": 0.3, "hours": 24, "requests": 60, "tolerated": 0.15},
    }  # fmt: skip
    if careless:
        improve |= {"trust": "all", "canary": None}
    value = {
        "name": "catalogue",
        "task": "Answer questions on the catalogue.",
        "audience": "Shop assistants.",
        "success": [{"metric": "exact_match", "at_least": 0.8}],
        "data": {"recipe": "catalogue", "rights": "ours", "personal": "none"},
        "watch": {"owner": "me", "signals": ["thumbs"], "stop_when": "never"},
        "improve": improve,
    }
    (folder / "project.yaml").write_text(yaml.safe_dump(value))
    return Project.model_validate(value)


def table(arms: list[Arm], weeks: int, seconds: float, processor: float) -> list[str]:
    """Quality by quarter and what the rounds did."""
    quarters = [range(begin, min(begin + 13, weeks)) for begin in range(0, weeks, 13)]
    names = [f"weeks {part[0] + 1}-{part[-1] + 1}" for part in quarters]
    lines = [
        f"| | {' | '.join(names)} | last week | rounds | promoted | bad ones promoted |",
        f"|---|{'---:|' * (len(names) + 4)}",
    ]
    for arm in arms:
        means = [sum(arm.quality[week] for week in part) / len(part) for part in quarters]
        cells = [*(f"{mean:.1%}" for mean in means), f"{arm.quality[-1]:.1%}"]
        done = sum(count for status, count in arm.rounds.items() if status != "nothing to learn")
        cells += [str(done), str(arm.rounds["promoted"]), str(arm.bad)] if arm.project is not None else ["", "", ""]
        lines.append(f"| {WORDS[arm.name]} | {' | '.join(cells)} |")
    lines.append("")
    for arm in arms:
        if arm.project is not None:
            ended = ", ".join(f"{count} {status}" for status, count in sorted(arm.rounds.items()))
            said = ", ".join(f"{count} {what}" for what, count in sorted(arm.said.items()) if what)
            lines.append(f"{WORDS[arm.name]}: {ended}; {arm.worse_candidates} rounds made a worse model. Said: {said}.")
    lines += [
        "",
        f"{weeks} weeks, {REQUESTS} questions a week, {seconds / 60:.1f} minutes in all, {processor / 60:.1f} of a processor.",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
