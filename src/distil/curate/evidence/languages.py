"""The language of a text, by its letters and its most frequent words: fast, and silent about short or mixed texts.

py3langid was tried instead (0.4.0): 370 µs of CPU for 300 characters against 12 here, and tables or names came out as Volapük.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from distil.curate.evidence.scripts import script_of

MIN_WORDS = 8
"""Fewer words prove nothing."""
MIN_SHARE = 0.2
"""Of the words that must be frequent ones of the language; English prose has 40%, tables and code nearly none."""
MIN_DISTINCT = 3
"""Different frequent words that must be there: `a` and `me` are words of many languages."""
CLEAR = 1.6
"""How many times more frequent words than the next language's."""
MOSTLY = 0.9
"""Share of ASCII from which a text need not be searched for other scripts."""
HEAD = 400
"""Characters that are looked at."""

_FREQUENT: Mapping[str, str] = {
    "en": "the of and to in is that it for was on are as with be by this have from or an at not but which you your "
    "they we can will has their if "
    "more when one all would there what so about who how do i",
    "es": "de la que el en y a los se del las un por con una su para es al lo como más pero sus le ya o este sí porque "
    "esta entre cuando muy sin "
    "sobre también me hasta hay donde no son puede tu está",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei "
    "einer um am sind noch wie einem über einen so zum kann ich wir oder",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la avec son "
    "sa ou cette ces aux leur "
    "vous nous être peut mais comme je c'est l'on",
    "it": "di e il la che in a per un è del della le una i con non si da al dei come più alla gli anche nel sono delle "
    "lo questo ma o se ha "
    "essere può nella tra suo ci",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu "
    "sua ou ser quando muito "
    "nos já também pelo pela até isso você são",
    "nl": "de van het een en in is dat op te zijn voor met die niet aan er om ook als dan maar bij uit door over ze "
    "nog wel naar kan je deze "
    "wordt worden heeft hun ik of",
    "pl": "w i na z się do nie to że jest o jak po od za ale co dla są przez oraz lub tym który może które tego jego "
    "być ich czy tylko już przy",
    "cs": "a se v na je že o s z do i to k ve pro za by jsou jako po jsem ale jeho nebo která které který tak při ze "
    "není od až také aby",
    "ro": "de și în a la cu pe că o nu din este un se care pentru mai sunt ce sau fi prin au să dar ca fost al ale lor",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när år "
    "under också eller din",
    "da": "og i at det er en til af den på for med de der ikke som et han har var jeg men fra vil om så kan nu eller "
    "ved hvor sig blev være",
    "fi": "ja on ei se että oli hän mutta ovat kun niin myös tai kuin joka jos sen voi mitä ole hänen tämä sekä vain olla",
    "hu": "a az és hogy nem is egy van ez de meg csak volt mint már el ha azt még vagy ki kell lehet így nagyon minden "
    "szerint után",
    "tr": "ve bir bu için de da ile olarak çok en daha gibi olan ne kadar ama o her sonra ya değil var mi mı veya göre ise",
    "id": "yang dan di untuk dengan ini dari dalam pada tidak akan adalah itu ke juga atau dapat oleh karena sebagai "
    "saya anda lebih bisa kami",
    "vi": "và của là có trong cho một các được không những với này để người đã khi từ đó như về bạn thể ra vào nhiều",
    "ru": "и в не на что я с он как это по а но из у за от к о же так для бы вы его мы или если только есть быть при "
    "может то было этого чтобы",
    "uk": "і в не на що з та як це по а але із у за від до о же так для би ви його ми або якщо тільки є бути при може "
    "то було цього щоб",
    "bg": "и в не на че с как това по а но от за до се е са да ще при може или ако само има бъде като след",
}
_OF: dict[str, list[str]] = {}
for _code, _words in _FREQUENT.items():
    for _word in dict.fromkeys(_words.split()):
        _OF.setdefault(_word, []).append(_code)
_SETS = {code: frozenset(words.split()) for code, words in _FREQUENT.items()}
_BY_SCRIPT = {"Greek": "el", "Hebrew": "he", "Devanagari": "hi", "Thai": "th", "Hangul": "ko"}
_KANA = re.compile("[\u3040-\u30ff]")
_PERSIAN = re.compile("[پچژگی]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
NAMES: Mapping[str, tuple[str, ...]] = {
    "en": (
        "english",
        "englisch",
        "inglés",
        "anglais",
        "inglese",
        "inglês",
        "engels",
        "английск",
        "英语",
        "英文",
        "英語",
        "영어",
    ),
    "es": ("spanish", "español", "castellano", "espagnol", "spanisch", "испанск", "西班牙", "スペイン語"),
    "de": ("german", "deutsch", "allemand", "alemán", "alemão", "tedesco", "немецк", "德语", "ドイツ語"),
    "fr": ("french", "français", "francés", "französisch", "francese", "francês", "французск", "法语", "フランス語"),
    "it": ("italian", "italiano", "italienisch", "italien", "итальянск", "意大利"),
    "pt": ("portuguese", "português", "portugués", "brazil", "portugais", "португальск", "葡萄牙"),
    "nl": ("dutch", "nederlands", "flemish", "niederländisch"),
    "pl": ("polish", "polski", "polsku", "polnisch"),
    "cs": ("czech", "česky", "češtin", "slovak"),
    "ro": ("romanian", "română"),
    "sv": ("swedish", "svenska", "schwedisch"),
    "da": ("danish", "dansk", "norwegian", "norsk"),
    "fi": ("finnish", "suome"),
    "hu": ("hungarian", "magyar"),
    "tr": ("turkish", "türkçe"),
    "id": ("indonesian", "bahasa", "malay"),
    "vi": ("vietnamese", "tiếng việt"),
    "ru": ("russian", "русск", "russisch", "ruso", "russe"),
    "uk": ("ukrainian", "українськ"),
    "bg": ("bulgarian", "български"),
    "zh": ("chinese", "mandarin", "中文", "汉语", "漢語", "中国語", "chinesisch", "chino", "chinois"),
    "ja": ("japanese", "日本語", "日语", "japanisch", "japonés", "kanji", "hiragana"),
    "ko": ("korean", "한국어", "韩语", "hangul"),
    "ar": ("arabic", "العربية", "arabisch", "árabe", "arabe"),
    "fa": ("persian", "farsi", "فارسی"),
    "hi": ("hindi", "हिन्दी", "हिंदी", "sanskrit", "marathi", "nepali"),
    "el": ("greek", "ελληνικ", "griechisch"),
    "he": ("hebrew", "עברית"),
    "th": ("thai", "ไทย"),
}
"""Language -> what prompts call it: `in French`, `auf Deutsch`."""


def language_of(text: str) -> str | None:
    """ISO 639-1 code; None for short texts, tables, code, mixtures and languages that are not in the table."""
    head = text[:HEAD]
    if head.isascii() or len(head.encode("ascii", "ignore")) > MOSTLY * len(head):
        return _by_words(head)
    script = script_of(head)
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if script == "Han or kana":
        return "ja" if len(_KANA.findall(head)) * 10 >= len(head.strip()) else "zh"
    if script == "Arabic":
        return "fa" if len(_PERSIAN.findall(head)) * 25 >= len(head) else "ar"
    return _by_words(head) if script in ("Latin", "Cyrillic") else None


def speaks(text: str, code: str) -> bool:
    """Whether a text has as many frequent words of a language as its prose has. Quicker than `language_of`, and less strict."""
    frequent = _SETS.get(code)
    words = text[:HEAD].lower().split()
    return frequent is not None and sum(map(frequent.__contains__, words)) >= max(MIN_DISTINCT, MIN_SHARE * len(words))


def _by_words(head: str) -> str | None:
    words = _WORD.findall(head.lower())
    if len(words) < MIN_WORDS:
        return None
    counts: dict[str, int] = {}
    distinct: dict[str, int] = {}
    for word, times in Counter(filter(_OF.__contains__, words)).items():
        for code in _OF[word]:
            counts[code] = counts.get(code, 0) + times
            distinct[code] = distinct.get(code, 0) + 1
    if not counts:
        return None
    best = max(counts, key=lambda code: counts[code])
    second = max((count for code, count in counts.items() if code != best), default=0)
    clear = counts[best] >= CLEAR * second and distinct[best] >= MIN_DISTINCT
    return best if clear and counts[best] >= MIN_SHARE * len(words) else None
