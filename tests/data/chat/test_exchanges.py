"""Steps that know turns: stitching, exchanges, openings, refusals; what they take away is told and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import DataError
from studio.data.chat.prose import outside_code, prose
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.exchanges import Refusals, Turns
from studio.data.chat.steps.openings import Boilerplate
from studio.data.chat.steps.roles import CUT, Roles
from studio.data.chat.steps.stitch import STITCHED, Stitch
from studio.data.chat.steps.text import Whitespace
from studio.data.verdicts import Drop
from studio.language.lists import LISTS

ROLES = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}


def row(turns: str, id: str = "src/r", **more: object) -> ChatRow:
    """``u:Hello|a:Hi`` as a conversation."""
    messages = [{"role": ROLES[turn[0]], "content": turn[2:]} for turn in turns.split("|") if turn]
    return ChatRow(id, messages, "src", **more)  # type: ignore[arg-type]


def judged(step: Stitch, rows: list[ChatRow]) -> list[ChatRow | Drop]:
    return [one if verdict is None else verdict for one, verdict in zip(rows, step.judge_all(rows), strict=True)]


def said(verdict: object) -> str:
    assert isinstance(verdict, ChatRow), verdict
    return "|".join(f"{turn['role'][0]}:{turn['content']}" for turn in verdict.messages)


def test_parts_are_joined_in_order_and_the_others_name_the_row() -> None:
    parts = [row("u:3|a:C", "src/x_2"), row("u:1|a:A", "src/x_0"), row("u:2|a:B", "src/x_1"), row("u:z|a:Z", "src/y")]
    step = Stitch()
    verdicts = judged(step, parts)
    assert said(verdicts[1]) == "u:1|a:A|u:2|a:B|u:3|a:C" and verdicts[3] is parts[3]
    assert isinstance(verdicts[1], ChatRow) and verdicts[1].meta == {STITCHED: ["src/x_0", "src/x_1", "src/x_2"]}
    assert verdicts[0] == Drop("joined to the conversation it continues", "2 turns", "one row per conversation", "src/x_0")
    assert step.notes == ("3 parts were joined to 1 conversation",)


def test_overlap_is_taken_once_and_gaps_begin_anew() -> None:
    step = Stitch()
    parts = [row("s:S|u:1|a:A|u:2|a:B", "src/x_0"), row("s:S|u:2|a:B|u:3|a:C", "src/x_1"), row("u:5|a:E", "src/x_9")]
    verdicts = judged(step, parts)
    assert said(verdicts[0]) == "s:S|u:1|a:A|u:2|a:B|u:3|a:C" and verdicts[2] is parts[2]
    assert step.notes == (
        "2 parts were joined to 1 conversation",
        "2 turns in two parts, taken once",
        "1 time a part is missing before the next, which is a row of its own",
    )
    odd = [row("u:1|a:A", "src/x_0"), row("a:B|u:2|a:C", "src/x_1")]
    assert judged(step, odd) == odd  # An answer cannot follow an answer.
    assert said(judged(Stitch(), [row("u:1", "src/x_0"), row("a:A|u:2|a:B", "src/x_1")])[0]) == "u:1|a:A|u:2|a:B"
    limited = judged(Stitch(max_turns=4), [row(f"u:{n}|a:{n}", f"src/x_{n}") for n in range(3)])
    assert [said(one) for one in limited if isinstance(one, ChatRow)] == ["u:0|a:0|u:1|a:1", "u:2|a:2"]
    assert judged(Stitch(), [row("u:1|a:A", "src/x-0"), row("u:2|a:B", "src/x-1")])[1].id == "src/x-1"  # type: ignore[union-attr]


def test_numbers_that_count_turns_as_in_sharegpt() -> None:
    # ShareGPT's cleaned split: a number is the turn that a part begins with, and this may be the last answer before.
    parts = [
        row("u:1|a:A|u:2|a:B", "src/x_0"),
        row("a:B|u:3|a:C", "src/x_3"),
        row("u:4|a:D", "src/x_6"),
        row("u:9|a:Z", "src/x_12"),
    ]
    verdicts = judged(Stitch(), [row("", "src/x_0~2"), *parts])
    assert said(verdicts[1]) == "u:1|a:A|u:2|a:B|u:3|a:C|u:4|a:D" and verdicts[4] is parts[3]
    assert [one.matched for one in verdicts if isinstance(one, Drop)] == ["src/x_0", "src/x_0"]


def test_numbered_rows_are_no_parts() -> None:
    with pytest.raises(DataError, match="30 of 30 rows have ids that begin with 'src/row_', so these numbers count rows"):
        judged(Stitch(), [row("u:1|a:A", f"src/row_{n}") for n in range(30)])


def test_exchanges_go_by_reason_and_are_kept_in_meta() -> None:
    given = row(
        "s:S|u:Hi|a:Hello|u:How?|a:I'm sorry, but I can't help with that.|u:Hi|a:Hello|u:x|a: |u:Bye|a:Regenerate response"
    )
    verdict = Turns(["empty", "refusal", "repeated"], ["regenerate RESPONSE"]).judge(given)
    assert said(verdict) == "s:S|u:Hi|a:Hello"
    assert isinstance(verdict, ChatRow) and len(verdict.meta[CUT]) == 8 and verdict.meta[CUT][0] == "user: How?"
    assert Turns().tell([given], [verdict]) == ["1 row lost 8 turns with their exchanges, kept in meta under 'turns_cut'"]
    assert Turns(["refusal"]).judge(row("u:How?|a:I cannot help with that.")) == Drop(
        "no exchange left", "1 refusal", "at least one"
    )
    fine = row("u:Hi|a:Hello")
    assert Turns().judge(fine) is fine
    assert said(Turns([], max_characters=3).judge(row("u:a|a:b|u:long|a:b"))) == "u:a|a:b"


def test_thoughts_and_tools_can_go() -> None:
    call = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    messages = [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": call},
        {"role": "tool", "content": "r"}, {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        {"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2", "reasoning_content": "hm"},
    ]  # fmt: skip
    given = ChatRow("r", messages, "src")
    verdict = Turns([], thoughts="drop", tools="drop").judge(given)
    assert isinstance(verdict, ChatRow) and verdict.messages == [messages[4], {"role": "assistant", "content": "a2"}]
    assert Turns(["empty"]).judge(given) is given  # A turn with a call is not empty.


def test_the_question_of_a_pair_stays() -> None:
    given = row("u:a|a: |u:b", chosen="yes", rejected="no")
    assert said(Turns().judge(given)) == "u:b"
    assert Refusals().judge(row("u:b", chosen="I can't help with that.", rejected="ok")).reason == "refusal"  # type: ignore[union-attr]
    fine = row("u:b", chosen="Of course.", rejected="I can't help with that.")
    assert Refusals().judge(fine) is fine


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I can't assist with that.", "Tut mir leid, dabei kann ich nicht helfen.", "Je ne peux pas vous aider.",
     "Lo siento, no puedo ayudar con eso.", "Tyvärr kan jag inte hjälpa dig.", "抱歉，我不能帮助你。"],
)  # fmt: skip
def test_refusals_go_in_every_listed_language(answer: str) -> None:
    assert Refusals().judge(row(f"u:Do it|a:{answer}")) == Drop("refusal", answer, "an answer")
    assert said(Refusals("drop_turn").judge(row(f"u:a|a:b|u:Do it|a:{answer}"))) == "u:a|a:b"
    fine = row(f"u:Do it|a:{answer}|u:a|a:b")
    assert Refusals(of="last").judge(fine) is fine


OPENINGS = [
    ("Sure! Here is a list of fruits:\n\n1. apple", "1. apple"),
    ("Great question! The sky is blue.", "The sky is blue."),
    ("As an AI language model, I do not eat.", "I do not eat."),
    ("Certainly! I'd be happy to help with that. First, stir.", "First, stir."),
    ("That’s a great question! we stir.", "We stir."),
    ("Natürlich! Hier ist die Liste:\n- eins", "- eins"),
    ("Als KI-Sprachmodell kann ich nicht essen.", None),
    ("Bien sûr ! Voici la liste :\n- un", "- un"),
    ("¡Claro! El cielo es azul.", "El cielo es azul."),
    ("Visst! Himlen är blå.", "Himlen är blå."),
    ("Bra fråga! Himlen är blå.", "Himlen är blå."),
    ("当然！以下是列表：\n一", "一"),
    ("作为一个人工智能语言模型，我不吃饭。", "我不吃饭。"),
    ("好的，我们先搅拌。", None),
    ("Sure!", None),
    ("Sure footing matters here.", None),
    ("Of course it does.", None),
    ("Here is the code:\n```\nx\n```", None),
    ("Okay is a word.", None),
]


@pytest.mark.parametrize(("answer", "cut"), OPENINGS)
def test_openings_are_cut_and_answers_are_not(answer: str, cut: str | None) -> None:
    given = row(f"u:q|a:{answer}")
    verdict = Boilerplate().judge(given)
    if cut is None:
        assert verdict is given
        return
    assert said(verdict) == f"u:q|a:{cut}"
    assert Boilerplate("drop").judge(given).reason == "boilerplate opening"  # type: ignore[union-attr]


def test_openings_are_told_and_languages_chosen() -> None:
    given = row("u:Great question! Is it?|a:Great question! Yes.")
    assert Boilerplate().tell([given], [given]) == ["1 answer lost an opening: 'Great question!' (1)"]
    assert said(Boilerplate().judge(given)) == "u:Great question! Is it?|a:Yes."
    assert Boilerplate(languages=["de"]).judge(given) is given
    assert all(lists.openings and lists.function_words for lists in LISTS.values())


def test_what_roles_cut_is_added_to_what_was_cut_before() -> None:
    given = row("a:Hi|u:q|a:x|u:bye", meta={CUT: ["user: old"]})
    verdict = Roles().judge(given)
    assert isinstance(verdict, ChatRow) and verdict.meta[CUT] == ["user: old", "assistant: Hi", "user: bye"]
    assert Roles().tell([given], [verdict])[0].startswith("1 row lost 2 turns")


CODE = "Text   \n\n\n\n```python\ndef f():   \n    pass\n\n\n\nx = 1\n```\n\n\n\nEnd  "


def test_blocks_of_code_stay_as_they_are() -> None:
    code = CODE[CODE.index("```python") : CODE.rindex("```") + 3]
    assert said(Whitespace().judge(row(f"u:q|a:{CODE}"))) == f"u:q|a:Text\n\n{code}\n\nEnd"
    assert prose(CODE).split() == ["Text", "End"]
    assert prose("a\n| x | y |\n|---|---|\n| 1 | 2 |\nb").split() == ["a", "b"]
    assert outside_code("a\n~~~\nb\n~~~\nc", str.upper) == "A\n~~~\nb\n~~~\nC"
    assert outside_code("a\n````\n```\nb\n````\nc", str.upper) == "A\n````\n```\nb\n````\nC"
    assert outside_code("a ```b``` c", str.upper) == "A ```B``` C"  # In a line it is no block.
    assert outside_code("a\n```\nopen", str.upper) == "A\n```\nopen"


def test_the_new_steps_run_in_a_build(tmp_path: Path) -> None:
    from studio.core.workspace import Workspace
    from studio.data.chat.build import build_chat_dataset
    from studio.schema.recipe import ChatRecipe

    lines = [
        f'{{"id": "c{n}_{part}", "question": "Q{n}{part}?", "answer": "Sure! Answer {n} {part}."}}'
        for n in range(8)
        for part in (0, 1)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    names = ["stitch", "turns", "boilerplate", "refusals", "repetition", "gibberish", "score"]
    recipe = ChatRecipe.model_validate(
        {
            "kind": "chat",
            "sources": [{"type": "local", "path": str(tmp_path / "rows.jsonl"), "licence": "own data"}],
            "steps": [*({"step": name} for name in names), {"step": "filter", "by": "answer_words", "max": 100, "outliers": 3}],
            "split": {"validation": 1, "test": 1},
        }
    )
    done = build_chat_dataset(recipe, Workspace(tmp_path / "w"), name="n")
    assert "stitch: 16 parts were joined to 8 conversations" in done.notes
    assert sum(done.record.splits.values()) == 8
    assert done.record.steps[-1].model_extra and done.record.steps[-1].model_extra["box"]["name"] == "answer_words"
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert 'aria-label="box plot of answer_words' in page
    again = build_chat_dataset(recipe.model_copy(update={"description": "x"}), Workspace(tmp_path / "w"), name="n2")
    assert again.reused == 9 and (again.folder / "report.html").read_text(encoding="utf-8").count("<svg") == page.count("<svg")
