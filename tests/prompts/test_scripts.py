"""Prompts in any script: what is new, which kinds there are, and what they are called."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from distil.errors import UserError
from distil.prompts import stage
from distil.prompts.config import PromptsConfig
from distil.prompts.coverage import Clustering, describe_clusters
from distil.prompts.novelty import NoveltyFilter, features
from distil.prompts.self_instruct import acceptable
from distil.prompts.survey import latin_share, survey
from distil.records import Message, Prompt
from distil.runs.artifacts import Project

SAME = [
    ("请解释一下人工智能的含义", "请解释一下人工智能的含义吗"),  # Chinese: with a question particle
    ("我的包裹还没有到，请帮我查一下", "我的包裹还没有到 请帮我查一下！"),
    ("カードがまだ届きません。確認してください。", "カードがまだ届きません。確認してくださいね。"),
    ("บัตรของฉันยังมาไม่ถึง ช่วยตรวจสอบให้หน่อย", "บัตรของฉันยังมาไม่ถึง ช่วยตรวจสอบให้หน่อยนะ"),
    ("أين طلبي؟ لم يصل بعد", "أَيْنَ طَلَبِي؟ لم يصل بعد!"),  # Arabic: with vowel points
    ("मेरा कार्ड अभी तक नहीं आया", "मेरा कार्ड अभी तक नहीं आया है"),
    ("איפה ההזמנה שלי? היא עדיין לא הגיעה", "איפה ההזמנה שלי, היא עדיין לא הגיעה"),
    ("내 카드가 아직 도착하지 않았어요", "내 카드가  아직 도착하지 않았어요."),
    ("Где моя карта? Она ещё не пришла", "ГДЕ МОЯ КАРТА, она ещё не пришла"),
    ("Where is my card?", "Ｗｈｅｒｅ　ｉｓ my card"),
]
OTHER = [
    ("请解释一下人工智能的含义", "请解释一下量子力学的含义"),
    ("我的包裹还没有到，请帮我查一下", "我的水壶漏水了，怎么办"),
    ("カードがまだ届きません", "パスワードを忘れました"),
    ("บัตรของฉันยังมาไม่ถึง", "ฉันลืมรหัสผ่านของฉัน"),
    ("أين طلبي؟ لم يصل بعد", "كيف أغير كلمة المرور"),
    ("मेरा कार्ड अभी तक नहीं आया", "मैं अपना पासवर्ड भूल गया"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_near_repeats_are_found_in_any_script(first: str, second: str) -> None:
    known = NoveltyFilter(0.7)
    assert known.add(first) and not known.add(second)


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_other_questions_are_new_in_any_script(first: str, second: str) -> None:
    known = NoveltyFilter(0.7)
    assert known.add(first) and known.add(second)
    assert len(features(first)) > 3


KINDS = {
    "zh": (
        "我的{0}{1}，而且这个{0}{2}",
        {
            "水壶": ["一直漏水", "烧得太慢", "盖子坏了", "开关发烫"],
            "发票": ["金额不对", "没有税号", "地址写错了", "收到两次"],
            "包裹": ["还没有到", "送错了人家", "外面破了", "被人拆开过"],
        },
    ),
    "ja": (
        "私の{0}は{1}し、この{0}は{2}です",
        {
            "やかん": ["水が漏れる", "沸くのが遅い", "ふたが壊れた", "取っ手が熱い"],
            "請求書": ["金額が違う", "税番号がない", "住所が古い", "二回届いた"],
            "荷物": ["まだ来ない", "隣に配られた", "箱が潰れた", "開けられていた"],
        },
    ),
    "th": (
        "{0}ของฉัน{1} และ{0}{2}",
        {
            "กาต้มน้ำ": ["มีน้ำรั่ว", "เดือดช้ามาก", "ฝาแตก", "สวิตช์ร้อน"],
            "ใบแจ้งหนี้": ["ยอดเงินผิด", "ไม่มีเลขภาษี", "ที่อยู่เก่า", "มาสองครั้ง"],
            "พัสดุ": ["ยังไม่ถึง", "ส่งผิดบ้าน", "กล่องเสียหาย", "ถูกเปิดแล้ว"],
        },
    ),
    "ar": (
        "{0} {1} وهذا {0} {2}",
        {
            "الغلاية": ["تسرب الماء", "تغلي ببطء", "غطاؤها مكسور", "مفتاحها ساخن"],
            "الفاتورة": ["مبلغها خاطئ", "بلا رقم ضريبي", "عنوانها قديم", "وصلت مرتين"],
            "الطرد": ["لم يصل بعد", "ذهب إلى الجار", "تالف تماما", "كان مفتوحا"],
        },
    ),
}


@pytest.mark.parametrize("language", KINDS)
def test_kinds_are_told_apart_and_named_in_any_script(language: str) -> None:
    form, things = KINDS[language]
    rows = [
        (form.format(thing, *pair), thing)
        for thing, count in zip(things, (12, 12, 4), strict=True)
        for pair in list(itertools.permutations(things[thing], 2))[:count]
    ]
    texts = [text for text, _ in rows]
    clustering = Clustering(texts, seed=1, clusters=3)
    assert (
        len({(int(label), thing) for label, (_, thing) in zip(clustering.labels, rows, strict=True)}) == 3
    )  # one to one
    clusters = describe_clusters(clustering, texts, [])
    named = clusters[0].words.split(", ")[0]
    assert clusters[0].before == 4 and clusters[0].gap
    assert named in list(things)[2] or list(things)[2] in named, clusters[0].words


def project_with(folder: Path, texts: list[str]) -> Project:
    (folder / "p.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    project = Project(folder)
    stage.run(project, PromptsConfig(path="p.jsonl"))
    return project


def test_a_survey_counts_kinds_and_repeats_for_nothing(tmp_path: Path) -> None:
    kettles = [
        f"My kettle {a} and {b}" for a, b in itertools.permutations(["leaks", "boils slowly", "smells", "is loud"], 2)
    ]
    texts = [
        *kettles,
        "My kettle leaks and smells!",
        "Where is the parcel from Monday?",
        "Where is the parcel from Friday?",
    ]
    result = survey(project_with(tmp_path, texts), by="words", clusters=2)
    assert (result.prompts, result.repeats, len(result.clusters)) == (15, 1, 2)
    assert result.clusters[0].gap and "parcel" in result.clusters[0].words
    assert "by their words" in dict(result.rows())["kinds"] and not (tmp_path / "ledger.sqlite").exists()


def test_meaning_is_used_where_it_says_something(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    english = [
        "How do I reset my password?",
        "I forgot my login code",
        "Bake a cake",
        "A recipe for bread",
        "Cook some rice",
    ]
    result = survey(project_with(tmp_path, english), clusters=2)
    assert "by meaning" in result.by and sorted(cluster.after for cluster in result.clusters) == [2, 3]
    other = tmp_path / "other"
    other.mkdir()
    chinese = survey(project_with(other, ["我的包裹还没有到", "我的水壶漏水了", "请给我发票"]))
    assert "words (100% of the letters are not Latin" in chinese.by
    assert latin_share([""]) == 1.0 and latin_share(["añb", "的"]) == 0.75


def test_a_survey_without_prompts_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="distil prompts load"):
        survey(Project(tmp_path))
    with pytest.raises(UserError, match="at least 1 kind"):
        survey(Project(tmp_path), clusters=0)


def test_two_characters_can_be_a_prompt() -> None:
    parent = Prompt.make([Message(role="user", content="你好")])
    assert acceptable("谢谢", parent) and not acceptable("ok", parent) and not acceptable("", parent)


def test_many_prompts_are_clustered_in_pieces() -> None:
    texts = [f"the kettle leaks {n}" if n % 2 else f"a parcel arrived {n}" for n in range(5_000)]
    clustering = Clustering(texts, clusters=2)
    assert len(set(zip(clustering.labels.tolist(), [n % 2 for n in range(5_000)], strict=True))) == 2
