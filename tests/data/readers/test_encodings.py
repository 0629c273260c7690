"""Encodings that nobody named: found where they are certain and told, asked for where they are not; never a silent guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import DataError, UserError
from studio.data.frames import FrameOptions, read_frame
from studio.data.readers import Raw, ReadOptions, guessing, read_file
from studio.data.readers.encoding import open_text, settled
from studio.data.readers.guessing import find_encoding

# Two or three sentences of each language, as a table of questions and answers; our own wording.
TEXTS = {
    "zh": "问题,答案\n第一种鸟叫什么名字?,它叫鹪鹩,是一种小鸟。\n你们几点开门?,每天早上九点到下午五点。\n",
    "tw": "問題,答案\n第一種鳥叫什麼名字?,它叫鷦鷯,是一種小鳥。\n你們幾點開門?,每天早上九點到下午五點。\n",
    "ja": "質問,答え\nこの鳥の名前は何ですか?,ミソサザイです。\n何時に開きますか?,毎日九時から五時までです。\n",
    "ko": "질문,답변\n이 새의 이름은 무엇입니까?,굴뚝새입니다.\n몇 시에 문을 엽니까?,매일 아홉 시부터 다섯 시까지입니다.\n",
    "ru": "вопрос,ответ\nКак называется птица?,Это крапивник, маленькая птица.\nКогда вы открыты?,Каждый день с девяти.\n",
    "el": "ερώτηση,απάντηση\nΠώς λέγεται το πουλί;,Είναι ένας τρυποφράχτης.\nΠότε ανοίγετε;,Κάθε μέρα στις εννέα.\n",
    "he": "שאלה,תשובה\nמה שם הציפור?,זה גדרון, ציפור קטנה.\nמתי אתם פותחים?,כל יום בתשע.\n",
    "ar": "سؤال,جواب\nما اسم هذا الطائر؟,هذا النمنمة وهو طائر صغير.\nمتى تفتحون؟,كل يوم في التاسعة.\n",
    "th": "คำถาม,คำตอบ\nนกตัวนี้ชื่ออะไร,มันชื่อนกกระจิบ\nเปิดกี่โมง,ทุกวันเก้าโมงเช้า\n",
    "pl": "pytanie,odpowiedź\nJak się nazywa ptak?,To jest strzyżyk, mały ptak.\nKiedy otwarte?,Od dziewiątej. Żółw łódź\n",
    "cs": "otázka,odpověď\nJak se jmenuje pták?,Je to střízlík, malý pták.\nKdy máte otevřeno?,Každý den od devíti hodin.\n",
    "tr": "soru,cevap\nBu kuşun adı ne?,Çıtkuşu, küçük bir kuş.\nNe zaman açıksınız?,Her gün dokuzdan beşe. İstanbul\n",
    "de": "Frage,Antwort\nWie heißt der Vogel?,Ein Zaunkönig, klein, für Gärten.\nWann öffnen Sie?,Täglich von neun.\n",
    "fr": "question,réponse\nComment s’appelle l’oiseau?,C’est un troglodyte, très petit. Où êtes-vous? à côté, ça\n",
    "sv": "fråga;svar\nVad är det på ön?;Ett hus, med tak på, för åska.\n",
    "en": "q,a\nDon’t you know?,“Tea”, he said – that’s all… costs 5 €\n",
    "lt": "klausimas,atsakymas\nKaip vadinasi paukštis?,Tai karietaitė, mažas paukštis. Žąsis į ūkį\n",
}
ENCODINGS = [
    ("zh", "gb18030"), ("tw", "big5"), ("ja", "shift_jis"), ("ja", "euc_jp"), ("ko", "euc_kr"), ("ru", "cp1251"),
    ("ru", "koi8-r"),
    ("el", "cp1253"), ("he", "cp1255"), ("ar", "cp1256"), ("th", "cp874"), ("pl", "cp1250"), ("cs", "cp1250"), ("tr", "cp1254"),
    ("de", "cp1252"), ("de", "mac-roman"), ("de", "cp850"), ("fr", "cp1252"), ("fr", "mac-roman"), ("sv", "cp1252"),
    ("en", "cp1252"), ("lt", "cp1257"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_a_page_of_text_is_read_as_what_it_is_and_told(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXTS[language].encode(encoding))
    found = find_encoding(path)
    assert found.encoding is not None, found.doubt
    assert path.read_bytes().decode(found.encoding) == TEXTS[language]
    assert found.note and found.note.startswith(f"read as {found.encoding.upper()}, found by its letters")


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf_with_and_without_marks(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXTS[language].encode(encoding))
    notes: list[str] = []
    options = ReadOptions(note=notes.append)
    with_utf8 = tmp_path / "utf8.csv"
    with_utf8.write_text(TEXTS[language], encoding="utf-8")
    assert list(read_file(path, options)) == list(read_file(with_utf8, ReadOptions()))
    assert bool(notes) == (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(("length", "allowed"), [(3, 0.01), (5, 0.012), (8, 0.01), (13, 0), (21, 0), (40, 0)])
def test_pieces_of_texts_are_asked_about_rather_than_read_wrongly(tmp_path: Path, length: int, allowed: float) -> None:
    path = tmp_path / "rows.csv"
    wrong, count = [], 0
    for language, encoding in ENCODINGS:
        text = TEXTS[language].replace("\n", ",")
        for start in range(0, len(text) - length + 1, length):
            data = f"a,b\n{text[start : start + length]}\n".encode(encoding)
            path.write_bytes(data)
            found = find_encoding(path).encoding
            count += 1
            if found is not None and data.decode(found) != data.decode(encoding):
                wrong.append((data.decode(encoding), found))
    assert len(wrong) <= allowed * count, wrong


def test_where_nothing_decides_the_readings_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("q,a\ncafé here,naïve\n".encode("cp1252"))
    with pytest.raises(DataError) as caught:
        list(read_file(path, ReadOptions()))
    assert "its encoding is not certain: encoding: cp1252 reads 'café here,naïve'; encoding: cp1250 reads" in str(caught.value)
    with pytest.raises(DataError, match="not certain"):
        read_frame(path, FrameOptions())
    assert [found.value for found in read_file(path, ReadOptions(encoding="cp1252"))] == [{"q": "café here", "a": "naïve"}]


def test_a_named_encoding_that_reads_as_nonsense_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXTS["zh"].encode("gb18030"))
    notes: list[str] = []
    list(read_file(path, ReadOptions(encoding="cp1252", note=notes.append)))
    assert "most of its text looks wrongly decoded" in notes[0] and "its bytes look like GB18030" in notes[0]
    assert "wrongly decoded" in read_frame(path, FrameOptions(encoding="cp1252")).notes[0]
    with pytest.raises(DataError, match=r"is not UTF-8 text: byte 0 is 0xce.*encoding: gb18030"):
        list(read_file(path, ReadOptions(encoding="utf-8")))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "UTF-16LE", "utf-32-le"])
def test_a_mark_is_dropped_where_the_order_of_bytes_was_named_too(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(("\ufeff" + TEXTS["zh"]).encode(encoding))
    with open_text(path, settled(path, ReadOptions(encoding=encoding))) as stream:
        assert stream.read() == TEXTS["zh"]


@pytest.mark.parametrize("encoding", ["base64", "rot13", "utf-99", "zip", "hex"])
def test_what_is_no_encoding_of_text_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a", "answer": "b"}\n')
    with pytest.raises(UserError, match=f"encoding '{encoding}' is no encoding of text. Usual ones: utf-8"):
        list(read_file(path, ReadOptions(encoding=encoding)))


def test_zero_bytes_are_named_and_a_damaged_place_in_utf8_does_not_change_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"q,a\nx\0y,z\n")
    notes: list[str] = []
    assert [found.value["q"] for found in read_file(path, ReadOptions(note=notes.append)) if isinstance(found, Raw)] == ["x\0y"]
    assert notes == ["holds 1 NUL byte, the first at byte 5"]
    path.write_bytes("q,a\nså här är det,för dig\n".encode() * 20 + b"x,\xff\n")
    with pytest.raises(DataError, match=r"is not UTF-8 text throughout: byte \d+ is 0xff in line \d+. Repair that place"):
        list(read_file(path, ReadOptions()))


def test_lines_of_json_with_a_stray_byte_are_told_apart_with_what_is_not_certain(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"q": 1}\n{"q": "caf\xe9 na\xefve"}\n{"q": 3}\n')
    found = list(read_file(path, ReadOptions()))
    assert [one.value["q"] for one in found if isinstance(one, Raw)] == [1, 3]
    assert "not certain: encoding: cp1252 reads" in str(found[1])


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_large_files_of_one_line_or_many_are_read_alike(
    tmp_path: Path, language: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letters begin beyond the first piece that is read, and later pieces begin in the middle of one."""
    monkeypatch.setattr(guessing, "_CHUNK", 8192)
    text = TEXTS[language].replace("\n", " ")
    for between in ("", "\n"):
        for shift in range(3):
            path = tmp_path / "rows.csv"
            path.write_bytes((("x" * 99 + between) * 100 + "y" * shift + '"' + (text + between) * 500).encode(encoding))
            found = find_encoding(path).encoding
            assert found is not None and text.encode(encoding).decode(found) == text, (between, shift, found)


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_two_files_joined_are_not_taken_for_one_in_either_encoding(tmp_path: Path, language: str, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    lines = TEXTS[language].splitlines(keepends=True)
    path.write_bytes(TEXTS[language].encode() + "".join(lines[1:]).encode(encoding))
    assert find_encoding(path).encoding == "utf-8"
    with pytest.raises(DataError, match=rf"is not UTF-8 text throughout: byte \d+ is 0x\w\w in line {len(lines) + 1}\. Repair"):
        list(read_file(path, ReadOptions()))


def test_a_stray_zero_byte_makes_no_utf16_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "faq.txt"
    for text in (b"Q: Name a bird\0\nA: A wren\n", b"Q: Name a bird\n\0A: A wren!\n", "F: Wo?\0\nA: Dörfer\n".encode("cp1252")):
        path.write_bytes(text + b" " * (len(text) % 2))
        assert find_encoding(path).encoding not in {"utf-16-le", "utf-16-be"}, text
