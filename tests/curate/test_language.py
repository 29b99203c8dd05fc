"""Answers in another language than asked, only where that is unusual and not what the prompt asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distil.curate.evidence.corpus import Pair, describe_corpus
from distil.curate.evidence.language import language
from distil.curate.evidence.languages import language_of
from distil.runs.jsonl import read_lines
from tests.curate.material import answer, prompt

SPOKEN = {
    "en": "The parcel has not arrived yet, and we do not know when it will be at your house.",
    "es": "El paquete no ha llegado todavía y no sabemos cuándo va a llegar a su casa, pero es posible que sea hoy.",
    "de": "Das Paket ist leider noch nicht angekommen, und wir wissen nicht, wann es bei Ihnen sein wird.",
    "fr": "Le colis n'est pas encore arrivé et nous ne savons pas quand il sera chez vous.",
    "it": "Il pacco non è ancora arrivato e non sappiamo quando sarà da voi.",
    "pt": "O pacote ainda não chegou e nós não sabemos quando ele vai estar com você.",
    "nl": "Het pakket is nog niet aangekomen en we weten niet wanneer het bij u zal zijn.",
    "pl": "Paczka jeszcze nie dotarła i nie wiemy, kiedy będzie u ciebie, ale to się wyjaśni.",
    "sv": "Paketet har inte kommit fram än och vi vet inte när det kommer att vara hos dig.",
    "ru": "Посылка еще не пришла, и мы не знаем, когда она будет у вас, но это не так важно.",
    "uk": "Посилка ще не прийшла, і ми не знаємо, коли вона буде у вас, але це не так важливо.",
    "hu": "A csomag még nem érkezett meg, és nem tudjuk, hogy mikor lesz meg, de ez már nem is olyan fontos.",
    "ja": "荷物はまだ届いておらず、いつ届くかは分かりません。もう少しお待ちください。",
    "zh": "包裹还没有送到，我们也不知道什么时候会送到您那里，请您耐心等待。",
    "ko": "소포가 아직 도착하지 않았고 언제 도착할지 모르겠습니다.",
    "ar": "لم يصل الطرد بعد ولا نعرف متى سيصل إليكم، نعتذر عن التأخير.",
}


@pytest.mark.parametrize(("code", "text"), SPOKEN.items())
def test_prose_tells_its_language(code: str, text: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "SAMSUNG 980 PRO NVMe SSD 1TB",
        "| Planet | Diameter (km) |\n|---|---|\n| Mars | 6,779 |",
        "a b a c a d a",
        "",
    ],
)
def test_short_texts_and_tables_have_no_language(text: str) -> None:
    assert language_of(text) is None


def details(rows: list[tuple[str, str]]) -> list[str | None]:
    """What is found about rows among twenty plain ones in English."""
    plain = [(f"Where is the parcel that I ordered {n} weeks ago?", SPOKEN["en"]) for n in range(20)]
    pairs = [Pair(asked := prompt(question), answer(asked, text)) for question, text in [*rows, *plain]]
    return [found.detail if found else None for found in language(pairs, describe_corpus(pairs))][: len(rows)]


def test_an_answer_in_another_language_is_found() -> None:
    assert details([("Where is my parcel?", SPOKEN["de"])]) == ["answered in German, asked in English"]


def test_another_language_that_was_asked_for_is_fine() -> None:
    rows = [
        ("Write a message about a late parcel in German, please.", SPOKEN["de"]),
        ("Translate this text for the customer who is waiting.", SPOKEN["es"]),
        (f"What is wrong with this sentence?\n{SPOKEN['fr']}", SPOKEN["fr"]),
        (SPOKEN["it"], SPOKEN["it"]),
    ]
    assert details(rows) == [None] * 4


def test_a_task_in_two_languages_has_no_wrong_one() -> None:
    questions = ["Wo ist das Paket, das ich vor drei Wochen bei Ihnen bestellt habe?"] * 20
    assert details([(question, SPOKEN["en"]) for question in questions]) == [None] * 20


def test_real_answers_are_in_their_language(data_dir: Callable[[str], Path]) -> None:
    for name in ("gpt4", "claude-2"):
        rows = [row for _, row in read_lines(data_dir(f"alpaca_eval/{name}.jsonl"))]
        pairs = [Pair(asked := prompt(row["prompt"]), answer(asked, row["output"])) for row in rows]
        assert not any(language(pairs, describe_corpus(pairs)))
