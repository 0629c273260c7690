"""What people get wrong, through the command line: one sentence that names the place and the remedy, never a traceback."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.conftest import Project, Result, build_tiny_base

Studio = Callable[..., Result]


def refused(result: Result, *words: str, code: int = 2) -> str:
    """The error of a command that was refused: the last line, holding all the words; stdout stays empty.

    Below it may stand, indented, the lines of a recipe to paste.
    """
    assert result.code == code, result.err
    assert result.out == "" and "Traceback" not in result.err
    sentence = [line for line in result.err.strip().splitlines() if not line.startswith("    ")][-1]
    assert sentence.startswith("error: "), result.err
    missing = [word for word in words if word not in sentence]
    assert not missing, f"{missing} is not in: {sentence}"
    return sentence


def flip_byte(path: Path) -> None:
    """Change one byte in the middle of the numbers."""
    raw = bytearray(path.read_bytes())
    raw[-len(raw) // 3] ^= 0x40
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("learning_rat: 0.1", "unknown field 'learning_rat'. Did you mean 'learning_rate'?"),
        ("lora: {rnak: 4}", "unknown field 'rnak' in 'lora'. Did you mean 'rank'?"),
        ("epochs: many", "'epochs'"),
        ("batch_size: 0", "'batch_size'"),
        ("train_on: assistent", "assistant"),
    ],
)
@pytest.mark.parametrize("command", ["train", "plan"])
def test_a_mistake_in_a_preset_is_named_with_file_and_line(
    command: str, line: str, sentence: str, studio: Studio, project: Project, tiny_base: Path
) -> None:
    preset = project.folder / "mine.yaml"
    preset.write_text(f"kind: chat\nmethod: lora\n{line}\n")
    refused(studio(command, preset, "--data", "doors", "--model", tiny_base), f"{preset}:3: ", sentence)
    assert [folder.parent.name for folder in project.workspace.list_runs()] == ["doors"], "no run was opened"


def test_an_unknown_preset_offers_the_nearest(studio: Studio, project: Project) -> None:
    for command in ("train", "plan"):
        refused(studio(command, "chat/lorra", "--data", "doors"), "'chat/lorra'", "Did you mean 'chat/lora'?")


def test_an_unknown_dataset_and_a_forgotten_one(studio: Studio, project: Project, tiny_base: Path) -> None:
    refused(studio("train", project.preset, "--data", "dors", "--model", tiny_base), "'dors'", "doors")
    refused(studio("train", project.preset, "--model", tiny_base), "--data", "doors")


DAMAGED = {
    "gone.jsonl": (None, ["gone.jsonl"]),
    "empty.jsonl": (b"", ["empty.jsonl", "empty"]),
    "cut.json": (b'[{"question": "a?", "answer": "b"}, {"question": "c', ["cut.json", "cut off"]),
    "latin.csv": ("question,answer\nHur högt?,Två meter\n".encode("latin-1"), ["latin.csv", "UTF-8"]),
    "shape.jsonl": (
        b'{"question": "a?", "answer": "b"}\n{"title": "x", "body": "y"}\n',
        ["shape.jsonl", "line 2", "columns title, body"],
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_data_file_is_named_with_the_reason(name: str, studio: Studio, project: Project) -> None:
    content, words = DAMAGED[name]
    if content is not None:
        (project.folder / name).write_bytes(content)
    refused(studio("data", "build", project.recipe, "--set", f"sources.0.path={name}", "--name", "bad"), *words)
    assert not (project.workspace.datasets / "bad").exists(), "nothing half made"


def test_good_rows_of_a_damaged_file_are_kept_only_when_the_recipe_says_so(studio: Studio, project: Project) -> None:
    path = project.folder / "doors.jsonl"
    path.write_text(path.read_text() + '{"question": "cut o')
    refused(studio("data", "build", project.recipe, "--name", "bad"), "doors.jsonl", "line 41")
    kept = studio("data", "build", project.recipe, "--name", "kept", "--set", "sources.0.damaged=keep", "--json")
    assert kept.code == 0, kept.err
    assert kept.json["record"]["rows_removed"] == 1 and sum(kept.json["record"]["splits"].values()) == 40
    gone = studio("data", "show", "kept", "--removed")
    assert "line 41" in gone.out


@pytest.fixture(scope="session")
def bare_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base as pre-training leaves it, without a chat template."""
    return build_tiny_base(tmp_path_factory.mktemp("bases") / "bare", template=None)


def test_a_base_without_a_template_is_refused_and_works_with_a_named_one(
    studio: Studio, project: Project, bare_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", project.preset, "--data", "doors", "--model", bare_base, "--name", "plainly", "--set", "epochs=1"]
    refused(studio(*command), "has no chat template", "--set chat_template=plain")
    done = studio(*command, "--set", "chat_template=plain", "--json")
    assert done.code == 0, done.err
    run = Path(done.json["run"])
    stored = (run / "chat_template.jinja").read_bytes()
    assert done.json["template"]["name"] == "plain" and b"messages" in stored
    assert (run / "adapter" / "chat_template.jinja").read_bytes() == stored
    measured = studio("eval", "chatbot", "--model", "plainly", "--limit", 2, "--set", "generation.max_new_tokens=4", "--json")
    assert measured.code == 0, measured.err
    assert measured.json["scores"]["tuned"][0]["metric"] == "perplexity" and measured.json["scores"]["tuned"][0]["value"] > 1
    monkeypatch.setattr("sys.stdin", io.StringIO("How wide must door 1 be?\n"))
    talked = studio("chat", "plainly", "--max-new-tokens", 4, "--json")
    assert talked.code == 0 and [turn["role"] for turn in talked.json] == ["user", "assistant"], talked.err


def test_a_row_longer_than_the_limit_is_refused_dropped_or_cut_as_asked(
    studio: Studio, project: Project, tiny_base: Path
) -> None:
    lines = (project.folder / "doors.jsonl").read_text() + json.dumps({"id": "giant", "question": "Why?", "answer": "so " * 3000})
    (project.folder / "doors.jsonl").write_text(lines)
    assert studio("data", "build", project.recipe, "--name", "long", "--set", "split={test: 0, validation: 0}").code == 0
    command = ["train", project.preset, "--data", "long", "--model", tiny_base, "--set", "epochs=1", "--json"]
    refused(studio(*command, "--set", "overlong=refuse"), "giant", "more than max_length 256")
    for overlong, report in (("drop", "left_out_rows"), ("cut", "cut_rows")):
        done = studio(*command, "--set", f"overlong={overlong}")
        assert done.code == 0, done.err
        assert done.json["mask_report"][report] == 1 and "giant" in done.err


def test_a_row_longer_than_the_models_context_is_cut_there_whatever_max_length_says(
    studio: Studio, project: Project, tiny_base: Path
) -> None:
    lines = (project.folder / "doors.jsonl").read_text() + json.dumps({"id": "giant", "question": "Why?", "answer": "so " * 400})
    (project.folder / "doors.jsonl").write_text(lines)
    assert studio("data", "build", project.recipe, "--name", "long", "--set", "split={test: 0, validation: 0}").code == 0
    command = ["train", project.preset, "--data", "long", "--model", tiny_base, "--set", "epochs=1", "--set", "max_length=4096"]
    done = studio(*command, "--json")
    assert done.code == 0, done.err
    assert done.json["mask_report"]["longest"] == 512 and done.json["mask_report"]["cut_rows"] == 1
    assert "512" in done.err and "giant" in done.err


@pytest.mark.parametrize(("limit", "words"), [(8, "nothing in the training split carries loss"), (40, "no end-of-turn token")])
def test_a_dataset_in_which_nothing_or_no_end_is_trained_is_refused(
    limit: int, words: str, studio: Studio, project: Project, tiny_base: Path
) -> None:
    result = studio(
        "train", project.preset, "--data", "doors", "--model", tiny_base, "--set", f"max_length={limit}", "--name", "no"
    )
    refused(result, words)
    assert json.loads((project.workspace.find_run("no") / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(
    "command",
    [["eval", "chatbot", "--limit", "2", "--model", "doors"], ["chat", "doors"], ["export", "doors"]],
    ids=["eval", "chat", "export"],
)
def test_a_flipped_byte_in_the_adapter_is_refused(command: list[str], studio: Studio, project: Project) -> None:
    flip_byte(project.run / "adapter" / "adapter_model.safetensors")
    refused(studio(*command), "adapter_model.safetensors", "sha256", code=1)


def test_a_base_that_changed_since_the_training_is_refused(
    studio: Studio, project: Project, tiny_base: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    done = studio("train", project.preset, "--data", "doors", "--model", base, "--set", "epochs=1", "--name", "moved")
    assert done.code == 0, done.err
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    for command in (["eval", "chatbot", "--limit", "2", "--model", "moved"], ["export", "moved"]):
        result = studio(*command)
        assert result.code in (1, 2) and "sha256" in result.err.splitlines()[-1] and "Traceback" not in result.err


@pytest.mark.parametrize("danger", ["pickle", "remote code"])
@pytest.mark.parametrize("command", ["train", "chat", "models pull", "plan"])
def test_pickles_and_code_of_strangers_are_refused_and_never_run(
    command: str, danger: str, studio: Studio, project: Project, tiny_base: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    canary = tmp_path / "canary"
    if danger == "pickle":
        (base / "model.safetensors").unlink()
        (base / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    else:
        config = json.loads((base / "config.json").read_text())
        classes = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
        (base / "config.json").write_text(json.dumps(config | {"auto_map": classes, "model_type": "evil"}))
        (base / "evil.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\nclass Evil: pass\n")
    arguments = {
        "train": ["train", project.preset, "--data", "doors", "--model", base],
        "plan": ["plan", project.preset, "--data", "doors", "--model", base],
        "chat": ["chat", base],
        "models pull": ["models", "pull", base],
    }[command]
    result = studio(*arguments)
    if not (command == "plan" and danger == "pickle"):  # a plan reads the config only
        refused(result, "pickled" if danger == "pickle" else "code")
    assert not canary.exists()


def test_without_a_network_and_a_cache_the_sentence_says_what_to_fetch(
    studio: Studio, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "empty"))
    for arguments in (
        ["train", project.preset, "--data", "doors"],
        ["models", "pull", "smollm2-135m-instruct"],
        ["data", "build", "chat/construction-faq-en"],
    ):
        result = studio(*arguments)
        assert result.code in (1, 2) and "Traceback" not in result.err
        assert "HF_HUB_OFFLINE" in result.err.splitlines()[-1], result.err


def test_a_workspace_on_a_read_only_disk(studio: Studio, project: Project, tiny_base: Path, read_only_disk: Path) -> None:
    for arguments in (
        ["data", "build", project.recipe],
        ["train", project.preset, "--data", project.dataset, "--model", tiny_base],
    ):
        result = studio(*arguments, "--workspace", read_only_disk / "space")
        assert result.code in (1, 2) and "read-only" in result.err.splitlines()[-1], result.err
        assert "Traceback" not in result.err and "bug" not in result.err


def test_a_full_disk_while_building(studio: Studio, project: Project, small_disk: Path) -> None:
    path = project.folder / "doors.jsonl"
    rows = [{"question": f"What is {number}?", "answer": f"{number**40} " * 20} for number in range(400)]
    path.write_text("\n".join(map(json.dumps, rows)))
    result = studio("data", "build", project.recipe, "--workspace", small_disk / "space", "--name", "big")
    refused(result, "the disk is full", code=1)
    assert not list((small_disk / "space").glob("datasets/big/*/dataset.json"))
