"""CLIP scores with a tiny CLIP built from its config: the cosine of the two embeddings, in the order of the pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from studio.core.errors import UserError
from studio.evals.images.clip import ClipScorer, find_clip
from tests.evals.images.shapes import draw, parts

PROMPTS = ["a red disc", "a blue square", "a cross", "disc"]


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    words = sorted({letter + end for prompt in PROMPTS for letter in prompt.replace(" ", "") for end in ("", "</w>")})
    vocabulary = {word: place for place, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    text = {**small, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    vision = {**small, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    model.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def test_scores_are_cosines_of_the_pairs_whatever_the_batch(tiny_clip: Path) -> None:
    scorer = ClipScorer(str(tiny_clip))
    pictures = [draw(*parts(number), number) for number in range(4)]
    inputs = scorer.processor(text=PROMPTS, images=pictures, return_tensors="pt", padding=True)
    with torch.no_grad():
        seen = scorer.model.get_image_features(pixel_values=inputs["pixel_values"])
        read = scorer.model.get_text_features(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    seen, read = (getattr(item, "pooler_output", item) for item in (seen, read))
    expected = (100 * torch.cosine_similarity(seen, read)).clamp(min=0).tolist()
    assert scorer.scores(pictures, PROMPTS, batch_size=4) == pytest.approx(expected, abs=1e-3)
    assert scorer.scores(pictures, PROMPTS, batch_size=1) == pytest.approx(expected, abs=1e-3)
    assert len(set(map("{:.4f}".format, expected))) > 1, "all pairs alike would hide a wrong order"
    assert scorer.sha256 is not None and scorer.sha256[:16] in scorer.describe()


def test_a_long_prompt_is_cut_and_not_an_error(tiny_clip: Path) -> None:
    assert len(ClipScorer(str(tiny_clip)).scores([draw("disc", "red", 0)], ["a disc " * 60])) == 1


def test_what_is_no_clip_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no CLIP could be read from"):
        ClipScorer(str(tmp_path))
    with pytest.raises(UserError, match="no CLIP could be read from 'nobody/clip'"):
        ClipScorer("nobody/clip")
    monkeypatch.delenv("STUDIO_CLIP", raising=False)
    assert find_clip(None) is None and find_clip("a") == "a"
    monkeypatch.setenv("STUDIO_CLIP", "b")
    assert find_clip(None) == "b"
