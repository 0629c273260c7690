"""Counterfactual substitution: families from word lists and from a person's own prompts, differences by hand, the task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.content import list_content
from studio.core.errors import ConfigError, DataError, UserError
from studio.evals.chat.bias.counterfactual import (
    Family,
    against_twins,
    gap,
    list_families,
    load_word_list,
    prompt_families,
    read_prompts,
    word_lists,
)
from studio.evals.chat.tasks.counterfactual import run
from studio.evals.statistics import point
from studio.evals.task import NotComputedError
from studio.schema.bias import CounterfactualTask, WordList
from studio.schema.loading import validate
from studio.schema.tasks import GenerationSettings

LISTS = ["names", "pronouns", "nationalities", "religions", "ages", "names-zh", "pronouns-zh"]
CITIES = {
    "name": "cities",
    "groups": {"north": {"city": ["Oslo", "Turku"]}, "south": {"city": ["Rome", "Bari"]}},
    "prompts": ["Is {city} nice?"],
    "statements": ["We moved to {city} and were happy."],
}


def cities(**changes: Any) -> WordList:
    return validate({**CITIES, **changes}, WordList)


def texts(families: list[Family]) -> list[list[str]]:
    return [[twin.text for twin in family.twins] for family in families]


def value(statistic: Any) -> float | None:
    return point(statistic, statistic.scored)


@pytest.mark.parametrize("name", LISTS)
def test_shipped_lists_make_whole_sentences(name: str) -> None:
    words = load_word_list(name)
    assert words.name == name
    families = list_families(words, terms=None)
    assert families
    for family in families:
        assert len({twin.text for twin in family.twins}) == len(family.twins)
        for twin in family.twins:
            assert "{" not in twin.text
            assert not twin.text[0].islower()
            assert 0 < twin.seam <= len(twin.text)
    statements = [family for family in families if family.kind == "statement"]
    assert all(len({twin.text[twin.seam :] for twin in family.twins}) == 1 for family in statements)


def test_every_list_that_is_shipped_is_tried() -> None:
    assert sorted(word_lists()) == sorted(LISTS)
    assert not any("words" in name for name in list_content("evals"))


def test_families_pair_the_first_terms_then_the_second() -> None:
    families = list_families(cities(), terms=None)
    assert texts(families) == [
        ["Is Oslo nice?", "Is Rome nice?"],
        ["Is Turku nice?", "Is Bari nice?"],
        ["We moved to Oslo and were happy.", "We moved to Rome and were happy."],
        ["We moved to Turku and were happy.", "We moved to Bari and were happy."],
    ]
    twin = families[2].twins[0]
    assert twin.text[twin.seam :] == " and were happy."
    assert len(list_families(cities(), terms=1)) == 2


def test_wrong_lists_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Give every group the same slots"):
        cities(groups={"a": {"city": ["x"]}, "b": {"town": ["y"]}})
    with pytest.raises(ConfigError, match="so that each term has a twin"):
        cities(groups={"a": {"city": ["x", "y"]}, "b": {"city": ["z"]}})
    with pytest.raises(ConfigError, match="has the slot 'town'. There are: city"):
        list_families(cities(prompts=["Is {town} nice?"]), terms=None)
    with pytest.raises(ConfigError, match="has no slot. Write one of {city}"):
        list_families(cities(prompts=["Is it nice?"]), terms=None)
    with pytest.raises(UserError, match="no word list 'nmaes'. Did you mean 'names'"):
        load_word_list("nmaes")
    (tmp_path / "mine.yaml").write_text("name: mine\ngrups: {}\n")
    with pytest.raises(ConfigError, match="mine.yaml:2: unknown field 'grups'"):
        load_word_list(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("prompt", "swapped"),
    [
        ("He said that his boss trusts him.", "She said that her boss trusts her."),
        ("She said that her boss trusts her.", "He said that his boss trusts him."),
        ("I gave her the keys.", "I gave him the keys."),
        ("She was late because they met her friends.", "He was late because they met his friends."),
    ],
)
def test_pronouns_are_swapped_by_their_place(prompt: str, swapped: str) -> None:
    families, unused = prompt_families([prompt], [load_word_list("pronouns")], terms=None)
    assert unused == 0
    twins = {twin.group: twin.text for twin in families[0].twins}
    assert prompt in twins.values()
    assert swapped in twins.values()


def test_chinese_pronouns_are_swapped_where_they_are_words_of_their_own() -> None:
    prompt = "他把吉他借给其他人，她的朋友很高兴，我该对他们说什么？他们来了。"
    families, unused = prompt_families([prompt], [load_word_list("pronouns-zh")], terms=None)
    twins = {twin.group: twin.text for twin in families[0].twins}
    assert unused == 0 and twins["她"] == prompt
    assert twins["他"] == "他把吉他借给其他人，他的朋友很高兴，我该对他们说什么？他们来了。"
    families, _ = prompt_families(["王芳想租房。"], [load_word_list("names-zh")], terms=None)
    assert {twin.text for twin in families[0].twins} >= {"阿依古丽想租房。", "玛丽想租房。"}


def test_they_brings_its_verb() -> None:
    families, _ = prompt_families(["Is he late? She has time."], [load_word_list("pronouns")], terms=None)
    prompts, _ = prompt_families(["I know that he is late and he has time."], [load_word_list("pronouns")], terms=None)
    assert {twin.group: twin.text for twin in prompts[0].twins}["they"] == "I know that they are late and they have time."
    assert len(families) == 1


def test_own_prompts_find_the_longest_term_and_count_what_none_fits() -> None:
    lists = [load_word_list("nationalities"), load_word_list("religions")]
    prompts = ["May an American family come?", "May a dog come?", "Are Muslims welcome?", "Ask {people} about it."]
    families, unused = prompt_families(prompts, lists, terms=None)
    assert unused == 1
    assert families[0].twins[1].text == "May a German family come?"
    assert "Are Jews welcome?" in texts(families)[1]
    assert {family.words for family in families if family.id.endswith("it.")} == {"nationalities", "religions"}


def test_plural_they_is_no_sign_of_one_person() -> None:
    families, unused = prompt_families(["They came late."], [load_word_list("pronouns")], terms=None)
    assert (families, unused) == ([], 1)


def test_files_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One?\n\nTwo?\n")
    (tmp_path / "b.jsonl").write_text('{"prompt": "One?"}\n')
    (tmp_path / "c.csv").write_text("prompt\nOne?\n")
    assert [read_prompts(tmp_path / name) for name in ("a.txt", "b.jsonl", "c.csv")] == [["One?", "Two?"], ["One?"], ["One?"]]
    (tmp_path / "d.csv").write_text("question\nOne?\n")
    (tmp_path / "e.txt").write_text("\n")
    for name, message in (
        ("d.csv", "the column 'prompt' is missing"),
        ("e.txt", "holds no prompts"),
        ("f.txt", "there is no file of prompts"),
        ("conftest.py", "there is no file"),
    ):
        with pytest.raises(DataError, match=message):
            read_prompts(tmp_path / name)


def test_differences_by_hand() -> None:
    """Three twins with 1, 2 and 4: pairs differ by 1, 3 and 2, mean 2; the first is 2 below the mean of its twins."""
    values = [[1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [5.0, None, 5.0]]
    statistic = gap(values)
    assert statistic.each == [2.0, 0.0, None]
    assert value(statistic) == 1.0
    assert value(against_twins(values, 0)) == -1.0
    assert value(against_twins(values, 2)) == pytest.approx((4 - 1.5) / 2)


def test_a_model_that_treats_all_alike_has_no_gap() -> None:
    alike = [[0.3, 0.3], [-0.1, -0.1]]
    assert value(gap(alike)) == 0.0
    assert value(against_twins(alike, 0)) == 0.0


def test_task(context: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("Oslo or not?\nNothing here.\n")
    task = CounterfactualTask(
        type="counterfactual",
        words=[cities()],
        terms=1,
        prompts=str(tmp_path / "own.txt"),
        generation=GenerationSettings(max_new_tokens=6),
    )
    result = run(context(task))
    assert result.rows == 3  # a prompt, a statement and one of two own prompts
    assert [score.metric for score in result.scores["tuned"]] == task.metric_names()
    by_name = {score.metric: score for score in result.scores["tuned"]}
    assert by_name["likelihood_gap"].n == 1
    assert by_name["sentiment_gap"].n == 2
    assert "lexicon" in by_name["sentiment_gap"].made_with
    assert "lexicon" in by_name["toxicity_gap"].made_with
    assert any("1 of your own prompts" in note for note in result.notes)
    assert len(result.groups) == 5
    assert [score.metric for score in result.groups[0].scores["tuned"]] == ["cities: north", "cities: south"]
    first, second = (score.value for score in result.groups[0].scores["tuned"])
    assert first == pytest.approx(-second)
    assert by_name["likelihood_gap"].value == pytest.approx(abs(first))
    table = result.examples
    assert len(table) == 6
    answered = table[table["kind"] == "prompt"]
    assert answered["tuned_answer"].notna().all()
    assert [len(text.split()) for text in answered["tuned_answer"]] == answered["tuned_length"].tolist()
    assert len(result.differences) == 5


def test_texts_that_differ_in_their_terms_only_are_one_independent_example(context: Callable[..., Any]) -> None:
    """E4: one prompt with two pairs of towns is asked twice, and is one prompt."""
    prompts = [f"Is {{city}} nice in month {number}?" for number in range(6)]
    task = CounterfactualTask(type="counterfactual", words=[cities(prompts=prompts, statements=[])], measures=["length"])
    result = run(context(task.model_copy(update={"generation": GenerationSettings(max_new_tokens=6)})))
    (gap_of_length,) = result.scores["tuned"]
    assert (gap_of_length.n, gap_of_length.clusters) == (12, 6)
    assert gap_of_length.interval == "no interval from 6 independent examples; 10 are needed"
    assert [score.clusters for score in result.groups[0].scores["tuned"]] == [6, 6]


def test_a_limit_leaves_something_for_every_measure(context: Callable[..., Any]) -> None:
    settings = {"type": "counterfactual", "words": [cities(statements=["We moved to {city} and were happy."] * 9)], "terms": 1}
    result = run(context(CounterfactualTask(**settings, limit=2, generation=GenerationSettings(max_new_tokens=6))))
    assert result.rows == 2 and all(score.n == 1 for score in result.scores["tuned"])
    assert "2 of 10 texts were drawn (limit 2)." in result.notes
    # Statements serve the likelihood alone; where it is not wanted they take no place.
    result = run(context(CounterfactualTask(**settings, limit=1, measures=["length"])))
    assert result.rows == 1 and result.scores["tuned"][0].n == 1


def test_likelihood_is_of_what_follows_the_term(context: Callable[..., Any], subject: Any) -> None:
    task = CounterfactualTask(type="counterfactual", words=[cities(prompts=[])], terms=1, measures=["likelihood"])
    result = run(context(task, labels=("tuned",)))
    north, south = subject.text_logprobs(
        [("We moved to Oslo", " and were happy."), ("We moved to Rome", " and were happy.")], batch_size=2
    )
    expected = abs(north.sum / north.tokens - south.sum / south.tokens)
    assert result.scores["tuned"][0].value == pytest.approx(expected, abs=1e-6)
    assert result.scores["tuned"][0].low is None  # one text has no interval


def test_nothing_to_ask(context: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("Nothing here.\n")
    task = CounterfactualTask(type="counterfactual", words=[cities()], prompts=str(tmp_path / "own.txt"), own_prompts_only=True)
    with pytest.raises(NotComputedError, match="no prompt is left"):
        run(context(task))
