"""Secrets of the same form as a planted one, against which its exposure is measured."""

from __future__ import annotations

import random
import string
import unicodedata

# Letters from which others of the same script are drawn. Han: common ones of everyday words, for a rare one would be unlikely by
# itself, and any secret look exposed beside it.
_HAN = (
    "天地人日月山水火木金土田石春夏秋冬东西南北上中下左右前后大小多少高低长短新旧红黄蓝白黑绿花草树鸟鱼马牛羊猫狗手足口目耳心头"
    "父母兄弟姐妹男女老少学生先家门窗床桌书笔纸字词文语音乐画歌舞吃喝走跑坐站看听说读写开关出入来去买卖给送做用想知爱喜怒哀早晚"
)
_ALPHABETS = (
    string.ascii_lowercase,
    "абвгдежзийклмнопрстуфхцчшщыэюя",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसह",
    "কখগঘচছজঝটঠডঢতথদধনপফবভমযরলশষসহ",
    "கஙசஞடணதநபமயரலவழளறன",
    "กขคงจฉชซดตถทธนบปผพฟภมยรลวศสหอ",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワ",
    "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후기니디리미비시이지",
    _HAN,
)


def other_secrets(secret: str, count: int, seed: int) -> list[str]:
    """Different secrets of the same form: every digit and letter drawn anew from its own script, the rest kept."""
    generator = random.Random(f"{seed}/{secret}")
    found: dict[str, None] = {}
    for _ in range(100 * count):
        drawn = "".join(_other(sign, generator) for sign in secret)
        if drawn != secret:
            found[drawn] = None
        if len(found) == count:
            break
    return list(found)


def _other(sign: str, generator: random.Random) -> str:
    """Another sign of the same kind."""
    if sign.isdecimal():
        zero = ord(sign) - unicodedata.decimal(sign)
        return chr(zero + generator.randrange(10))
    if not sign.isalpha():
        return sign
    drawn = generator.choice(_alphabet(sign))
    return drawn.upper() if sign.isupper() else drawn


def _alphabet(sign: str) -> str:
    """The letters that stand for a letter: those of its script, for a letter with an accent the plain ones; itself in a script
    that has none here.
    """
    name = unicodedata.name(sign, "").split(" ")[0]
    for letters in _ALPHABETS:
        if unicodedata.name(letters[0]).split(" ")[0] == name:
            return letters
    return string.ascii_lowercase if name == "LATIN" else sign
