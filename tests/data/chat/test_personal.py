"""Personal data: each kind by form and checksum, in several scripts; nothing else; in linear time, and without a network."""

from __future__ import annotations

import importlib.util
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.errors import ConfigError, MissingExtraError
from studio.core.extras import available
from studio.data.chat.personal import KINDS, Search, checksums
from studio.data.chat.personal.finding import masked
from studio.data.chat.personal.national import REGIONS
from studio.data.chat.personal.presidio import Presidio
from studio.data.chat.rows import ChatRow, read_removed, read_split
from studio.data.chat.steps.scrub import FLAG, Scrub
from studio.data.verdicts import Drop
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe

# Examples that the issuers, standards and Wikipedia publish.
KNOWN = {
    "card": ["4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444", "6011111111111117", "3530111333300000"],
    "iban": ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "FR1420041010050500013M02606", "NO93 8601 1117 947"],
    "crypto": [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ],
    "ip": ["8.8.8.8", "192.168.0.17", "2001:db8::8a2e:370:7334"],
    "mac": ["00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7", "001b.4411.3ab7"],
    "geo": ["59.32932, 18.06858", "59°19'46\"N 18°4'7\"E"],
    "email": ["anna@example.org"],
    "credentials": ["root:hunter2"],
}
NATIONAL = {
    "SE": ["811218-9876", "19811218-9876", "8112189876"],
    "US": ["123-45-6789"],
    "GB": ["AB123456C", "AB 12 34 56 C"],
    "DE": ["86095742719", "47 036 892 816"],
    "FR": ["255081416802538", "2 55 08 14 168 025 38"],
    "ES": ["12345678Z", "X1234567L"],
    "IT": ["RSSMRA85T10A562S"],
    "CN": ["11010519491231002X"],
    "IN": ["9999 4105 7058"],
    "BR": ["529.982.247-25", "11144477735"],
}


def labelled() -> ModuleType:
    spec = importlib.util.spec_from_file_location("labelled", Path(__file__).parents[1] / "pii" / "labelled.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["labelled"] = module
    spec.loader.exec_module(module)
    return module


def found(text: str, *what: str, regions: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.stop]) for one in Search(what or KINDS, None, regions).findings(text)]


def row(*texts: str, **meta: object) -> ChatRow:
    turns = [{"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts)]
    return ChatRow("r", turns, "src", None, meta)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in KNOWN.items() for value in values])
def test_published_examples_are_found_in_any_script(kind: str, value: str) -> None:
    value = f"https://{value}@host.example/x" if kind == "credentials" else value
    for text in (f"It is {value}.", f"这是{value}，谢谢。", f"({value})", value):
        assert [one[0] for one in found(text)] == [kind], text
        assert found(text)[0][1] in value


@pytest.mark.parametrize(("region", "value"), [(region, value) for region, values in NATIONAL.items() for value in values])
def test_numbers_of_persons_are_proven(region: str, value: str) -> None:
    assert set(NATIONAL) == set(REGIONS)
    for text in (f"My number is {value}.", f"号码{value}。"):
        assert found(text, "national_id", regions=(region,)) == [("national_id", value)]
    if region not in {"US", "GB"}:  # These two have ranges, and no checksum.
        places = [place for place, sign in enumerate(value) if sign.isdigit()]
        changed = value[: places[-1]] + str((int(value[places[-1]]) + 1) % 10) + value[places[-1] + 1 :]
        assert found(f"My number is {changed}.", "national_id", regions=(region,)) == []
    assert found("666-12-3456, 900-12-3456 and QQ123456C, GB123456A", "national_id", regions=("US", "GB")) == []


def test_wrong_checksums_and_other_numbers_are_left() -> None:
    for text in (
        "4111 1111 1111 1112", "Order number 4111111111111111", "订单号4111111111111111", "ISBN 978-3-16-148410-0",
        "DE89370400440532013001", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "version 1.2.3.4", "v10.0.0.1", "版本1.2.3.4",
        "127.0.0.1 and 0.0.0.0/0, mask 255.255.255.0", "1.2.3.4.5", "00:00:00:00:00:00", "12:34:56", "std::vector", "a::b",
        "550e8400-e29b-41d4-a716-446655440000", "2024-05-01 10:00", "1,234.56", "https://user:password@host",
        "https://a.b/?token=<your-token>",
        "we meet at noon dot the i", "look at it", "0.5, 0.25", "git@github.com:a/b.git",
        "6. At what point in your life", "sign up now at fitness.com", "face at some point in time",
        "np.arange(0, 1.00101, 0.00101)",
        "[-1.537602, -1.229147, -1.050609]", "-1.537602 -1.229147", "https://a.b/?password=\\(password)", "postgresql://admin:...@db",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ):  # fmt: skip
        assert found(text, regions=("US", "SE", "DE", "CN")) == [], text
    assert not Search(["phone"], "US").findings("on 2024-05-01 10 people came")
    assert [one.start for one in Search(["phone"], "US").findings("2024-05-01 212-555-0123")] == [11]


def test_spoken_addresses_are_opt_in() -> None:
    for text in (
        "john dot doe at example dot com",
        "anna (at) example.org",
        "lars snabel-a mail punkt se",
        "ana arroba correo punto es",
    ):
        assert found(f"Write to {text}!", "spoken_email") == [("email", text)]
        assert found(f"Write to {text}!", "email") == []


def test_verhoeff_and_bech32_find_single_errors() -> None:
    assert checksums.verhoeff("2363") and not checksums.verhoeff("2364") and not checksums.verhoeff("3263")
    assert checksums.bech32("A12UEL5L") and checksums.bech32("a1lqfn3a") and not checksums.bech32("A12UEL5M")


def test_recall_and_precision_of_the_labelled_set() -> None:
    module = labelled()
    counts: Counter[tuple[str, str]] = Counter()
    for one in module.labelled(6):
        search = Search(KINDS, None, module.TEMPLATES[one.language]["regions"])
        seen = {(item.kind, item.start, item.stop) for item in search.findings(one.text)}
        gold = set(one.gold)
        for outcome, items in (("right", seen & gold), ("missed", gold - seen), ("wrong", seen - gold)):
            counts.update((kind, outcome) for kind, _, _ in items)
    kinds = {kind for kind, _ in counts}
    assert kinds == {kind.removeprefix("spoken_") for kind in module.KINDS}
    for kind in kinds:
        right, missed, wrong = (counts[kind, outcome] for outcome in ("right", "missed", "wrong"))
        # One in ten of any sixteen digits has a right checksum, and nothing tells those from a card.
        assert right / (right + missed) >= 0.97 and right / (right + wrong) >= 0.9, (kind, right, missed, wrong)


def test_the_same_value_has_the_same_number() -> None:
    given_row = row("I am a@b.org, not c@d.org", "Hello A@B.org, call +46 42 12 34 56", note="+46421 23456 or c@d.org")
    cleaned = Scrub(numbered=True).judge(given_row)
    assert isinstance(cleaned, ChatRow)
    assert [turn["content"] for turn in cleaned.messages] == ["I am [EMAIL_1], not [EMAIL_2]", "Hello [EMAIL_1], call [PHONE_1]"]
    assert cleaned.meta == {"note": "[PHONE_1] or [EMAIL_2]"}


def test_flag_counts_and_leaves_the_text() -> None:
    given_row = row("I am a@b.org", "Card 4111 1111 1111 1111, a@b.org")
    flagged = Scrub(action="flag").judge(given_row)
    assert isinstance(flagged, ChatRow) and flagged.messages == given_row.messages
    assert flagged.meta == {FLAG: {"email": 2, "card": 1}}
    assert Scrub(action="flag").tell([given_row], [flagged]) == [
        "email: 2 found and left in the text in 1 row (a***@b***.org)",
        "card: 1 found and left in the text in 1 row (4***)",
    ]


def test_what_is_shown_gives_nothing_away() -> None:
    assert masked("email", "anna.berg@mail.example.com") == "a***@m***.com"
    for kind, values in KNOWN.items():
        for value in values:
            assert len(masked(kind, value).replace("***", "")) <= max(3, len(value) // 2) and value not in masked(kind, value)


def test_a_build_tells_by_kind_and_keeps_no_address_of_dropped_rows(tmp_path: Path) -> None:
    from studio.core.workspace import Workspace
    from studio.data.chat.build import build_chat_dataset

    lines = "".join(f'{{"question": "Question {n}?", "answer": "Answer number {n}."}}\n' for n in range(12))
    (tmp_path / "rows.jsonl").write_text(lines + '{"question": "Mine?", "answer": "It is anna@example.org."}\n', encoding="utf-8")
    for action in ("replace", "drop"):
        recipe = ChatRecipe.model_validate(
            {
                "kind": "chat",
                "sources": [{"type": "local", "path": str(tmp_path / "rows.jsonl"), "licence": "own data"}],
                "steps": [{"step": "scrub", "action": action}],
                "split": {"validation": 1, "test": 1},
            }
        )
        done = build_chat_dataset(recipe, Workspace(tmp_path / "w"), name=f"n-{action}")
        verb = {"replace": "replaced", "drop": "found in dropped rows"}[action]
        assert f"scrub: email: 1 {verb} in 1 row (a***@e***.org)" in done.notes
        for file in done.folder.glob("*"):
            assert b"anna@example.org" not in file.read_bytes(), file
        texts = [row.text for split in done.record.splits for row in read_split(done.folder, split)]
        gone = [one.row.text for one in read_removed(done.folder)]
        assert any("[EMAIL]" in text for text in (texts if action == "replace" else gone))


@pytest.mark.parametrize(
    "hostile",
    ["a." * 100_000 + "@", "1 " * 100_000, "4111-" * 50_000, "SE45 " * 50_000, "a:b:" * 60_000, "a at b dot " * 20_000,
     "https://" + "a:" * 100_000, "0x" + "f" * 200_000, "1.234, " * 40_000, "1" * 200_000, "bc1" + "q" * 200_000,
     "12.34." * 40_000,
     "-----BEGIN PRIVATE KEY-----" * 5_000, "ab-" * 80_000, "anna@example.org " * 12_000, "+46 42 12 34 56 " * 2_000],
    ids=range(16),
)  # fmt: skip
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    started = time.process_time()
    Search(KINDS, "SE", tuple(REGIONS)).findings(hostile)
    assert time.process_time() - started < 4


@settings(max_examples=150, deadline=1000)
@given(st.text(alphabet="0123456789abAB.-:@ /+()[]dotx号", max_size=400))
def test_findings_never_overlap_and_stay_inside(text: str) -> None:
    end = 0
    for one in Search(KINDS, "SE", tuple(REGIONS)).findings(text):
        assert end <= one.start < one.stop <= len(text)
        end = one.stop


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    text = "anna@example.co.uk +46 42 12 34 56 4111111111111111 8.8.8.8"
    assert len(found(text)) == 4
    if available("presidio_analyzer"):
        assert {kind for kind, _, _ in Presidio()(text)} >= {"email", "card", "ip"}


def test_presidio_is_an_extra_that_says_how_it_is_had() -> None:
    if not available("presidio_analyzer"):
        with pytest.raises(MissingExtraError, match=r"engine: presidio needs .*pip install 'finetuning-studio\[pii\]'"):
            Presidio().check()
        return
    Presidio(entities=("US_DRIVER_LICENSE",)).check()
    step = Scrub(engine=Presidio())
    assert "[EMAIL]" in step.judge(row("anna@example.org", "x")).text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{step: scrub, regions: [SE]}", "Give 'national_id' among 'what' too."),
        ("{step: scrub, what: [national_id]}", r"Give regions (\[SE, US\]) too."),
        ("{step: scrub, what: [national_id], regions: [UK]}", "'UK'"),
        ("{step: scrub, presidio: {language: de}}", "Give 'engine: presidio', or leave them out."),
        ("{step: scrub, what: []}", "it looks for nothing"),
        ("{step: scrub, what: [emails]}", "Did you mean 'email'"),
    ],
)
def test_settings_that_do_nothing_are_refused(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        f"kind: chat\nsources:\n  - {{type: local, path: x, licence: own data}}\nsteps:\n  - {line}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError) as error:
        load_yaml(file, ChatRecipe)
    assert said.replace("\\", "") in str(error.value), str(error.value)


def test_dropped_rows_say_what_they_held() -> None:
    assert Scrub(action="drop").judge(row("a@b.org", "x")) == Drop("personal or secret data", "1 email", "none")
