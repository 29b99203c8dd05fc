"""How answers decline in other languages, over folded text. Each language: words to look for first, declining, "
"self-description."""

from __future__ import annotations

import re
from typing import NamedTuple


class Language(NamedTuple):
    """Phrases of one language."""

    cues: tuple[str, ...]
    """Without any of these, no pattern can match."""
    decline: re.Pattern[str]
    """The model won't, or can't, do what it was asked."""
    speaks_of_itself: re.Pattern[str]
    """As a model: `Als KI-Sprachmodell`."""


def _of(cues: str, decline: str, speaks_of_itself: str) -> Language:
    return Language(tuple(cues.split("|")), re.compile(decline), re.compile(speaks_of_itself))


LANGUAGES: dict[str, Language] = {
    "es": _of(
        "no puedo|no podr|no me |no te |no le |no les |no os |no voy |no estoy |no soy |debo |tengo que|modelo "
        "|inteligencia artificial|asistente|como ia|una ia",
        r"\bno (?:te |le |les |os |me )?(?:puedo|podría|podré|voy a poder|voy a|me es posible|estoy en (?:condiciones"
        r"|posición) de"
        r"|estoy autorizad[oa] (?:a|para)|soy capaz de)(?: \w+)? ?(?:ayudar|asistir|proporcionar|cumplir|responder"
        r"|ofrecer|brindar|dar"
        r"|hacer (?:eso|esto|lo)|generar|crear|escribir|participar|atender|continuar|recomendar|facilitar|apoyar)"
        r"|\bno me siento cómod[oa]\b|\b(?:debo|tengo que) (?:declinar|negarme|rechazar)\b",
        r"\bcomo (?:un |una )?(?:modelo (?:de )?(?:lenguaje|ia|inteligencia)|ia\b|inteligencia artificial"
        r"|asistente (?:de ia|virtual))"
        r"|\bsoy (?:solo |sólo )?(?:un |una )?(?:modelo de lenguaje|ia\b|inteligencia artificial|asistente de ia)",
    ),
    "de": _of(
        "nicht|kein|ablehnen|als ki|sprachmodell|intelligenz",
        r"\b(?:(?:kann|darf|werde|möchte) ich|ich (?:kann|darf|werde|möchte))\b[^.!?\n]{0,60}\b(?:nicht"
        r"|keine?\w*)\b[^.!?\n]{0,60}"
        r"\b(?:helfen|unterstützen|beantworten|behilflich|weiterhelfen|bereitstellen|erstellen|geben|erfüllen"
        r"|nachkommen|schreiben"
        r"|generieren|anbieten|liefern|verfassen|mitmachen)\b"
        r"|\b(?:bin ich|ich bin) (?:leider )?nicht (?:in der lage|befugt)\b|\bmuss ich (?:das |dies "
        r"|ihre anfrage )?(?:leider )?ablehnen\b"
        r"|\bich muss (?:das |dies |ihre anfrage )?(?:leider )?ablehnen\b|\bfühle ich mich nicht wohl\b"
        r"|\bich fühle mich (?:damit )?nicht wohl\b",
        r"\bals (?:ein |eine )?(?:ki\b|künstliche intelligenz|(?:großes )?sprachmodell)|\bich bin (?:nur )?(?:ein "
        r"|eine )?(?:ki\b|sprachmodell)",
    ),
    "fr": _of(
        "je ne|je n'|décliner|refuser|en tant qu|modèle",
        r"\bje (?:ne |n')(?:peux|pourrai|puis|saurais|vais|suis)(?: malheureusement)?(?: pas)?(?: en mesure de?"
        r"| autorisée? à| capable de?"
        r"| habilitée? à)?(?: pas)? ?(?:vous |t'|te |l'|y |d')?(?:aider|assister|fournir|répondre|donner|créer|générer"
        r"|rédiger|écrire"
        r"|accéder à (?:cette|votre)|satisfaire|proposer|participer|faire (?:cela|ça)|offrir)"
        r"|\bje ne me sens pas à l'aise\b|\bje (?:dois|me vois contrainte? de)(?: malheureusement)? (?:décliner|refuser)\b",
        r"\ben tant qu(?:e |')(?:une? )?(?:ia\b|intelligence artificielle|(?:grand )?modèle de langage|modèle d'ia"
        r"|assistant (?:ia|virtuel))"
        r"|\bje suis (?:juste |seulement )?(?:une? )?(?:ia\b|intelligence artificielle|modèle de langage)",
    ),
    "it": _of(
        "non |rifiutare|declinare|modello|intelligenza",
        r"\bnon (?:ti |vi |le |la )?(?:posso|potrò|potrei|sono in grado di|mi è possibile"
        r"|sono autorizzat[oa] a)(?: \w+)? ?(?:aiutar|assister|fornir|risponder"
        r"|soddisfar|crear|generar|scriver|offrir|dar|farlo|fare (?:questo|quello)|partecipar|procedere)"
        r"|\bnon mi sento a mio agio\b|\bdevo (?:purtroppo )?(?:rifiutare|declinare)\b",
        r"\b(?:in quanto|come|essendo)(?: un'| un | una )? ?(?:ia\b|ai\b|intelligenza artificiale"
        r"|modello (?:di linguaggio|linguistico|di ia)"
        r"|assistente (?:ai|ia|virtuale))|\bsono (?:solo )?(?:un |un'|una )?(?:ia\b|intelligenza artificiale"
        r"|modello linguistico)",
    ),
    "pt": _of(
        "não |recusar|modelo|inteligência",
        r"\bnão (?:te |lhe |o |a )?(?:posso|poderei|consigo|vou poder|estou (?:em condições de|autorizad[oa] a)"
        r"|sou capaz de|me é possível)(?: \w+)? ?"
        r"(?:ajud|auxili|fornec|atend|respond|cri|ger|escrev|oferec|particip|dar|fazer isso|cumprir|prestar)"
        r"|\bnão me sinto confortável\b|\b(?:devo|tenho que|preciso) recusar\b",
        r"\bcomo (?:um |uma )?(?:modelo de (?:linguagem|ia)|ia\b|inteligência artificial|assistente (?:de ia|virtual))"
        r"|\bsou (?:apenas )?(?:um |uma )?(?:modelo de linguagem|ia\b|inteligência artificial)",
    ),
    "nl": _of(
        "niet|geen|weigeren|taalmodel|als ai|als een ai",
        r"\b(?:ik kan|kan ik|ik mag|mag ik|ik zal|ik ben)\b[^.!?\n]{0,60}\b(?:niet|geen)\b[^.!?\n]{0,60}"
        r"\b(?:helpen|assisteren|beantwoorden|voldoen|geven|verstrekken|maken|schrijven|genereren|bieden|meewerken|in staat)\b"
        r"|\bik moet (?:dit |dat |uw verzoek )?(?:helaas )?(?:weigeren|afwijzen)\b",
        r"\bals (?:een )?(?:ai\b|taalmodel|kunstmatige intelligentie|groot taalmodel)"
        r"|\bik ben (?:slechts )?(?:een )?(?:ai\b|taalmodel)",
    ),
    "pl": _of(
        "nie |odmówić|jako",
        r"\bnie (?:mogę|jestem w stanie|będę w stanie|potrafię|będę mog(?:ła|ł))(?: \w+){0,3} (?:pomóc|spełnić"
        r"|udzielić|odpowiedzieć|dostarczyć"
        r"|podać|stworzyć|napisać|wygenerować|tego zrobić|zrobić|zapewnić|uczestniczyć|wspierać|zaoferować)\b"
        r"|\bmuszę odmówić\b",
        r"\bjako (?:duży )?(?:model (?:językowy|ai)|sztuczna inteligencja|ai\b|asystent (?:ai|wirtualny))"
        r"|\bjestem (?:tylko )?(?:modelem językowym|sztuczną inteligencją)",
    ),
    "ru": _of(
        "не |отказать|как ",
        r"\bне (?:могу|смогу|в состоянии|имею возможности|буду|готов[а]?)(?: [\w-]+){0,3} (?:помочь|помогать"
        r"|предоставить|предоставлять|выполнить|ответить"
        r"|отвечать|дать|давать|создать|создавать|написать|сгенерировать|обсуждать|участвовать|предложить|сделать это)\b"
        r"|\b(?:вынужден\w*|должен|должна) (?:отказать|отклонить)",
        r"\bкак (?:большая )?(?:языковая модель|модель искусственного|искусственный интеллект|ии\b)|\bя (?:[—-] ?"
        r"|всего лишь )?(?:языковая модель|искусственный интеллект)",
    ),
    "uk": _of(
        "не |відмовити|як ",
        r"\bне (?:можу|зможу|в змозі)(?: [\w-]+){0,3} (?:допомогти|надати|відповісти|виконати|створити|написати"
        r"|дати)\b|\bзмушен\w* відмовити",
        r"\bяк (?:велика )?(?:мовна модель|штучний інтелект|ші\b)",
    ),
    "cs": _of(
        "nemohu|nemůžu|nejsem schop|jako ",
        r"\b(?:nemohu|nemůžu|nejsem schop\w+)(?: \w+){0,4} (?:pomoci|pomoct|poskytnout|odpovědět|vyhovět|vytvořit"
        r"|napsat|splnit)\b",
        r"\bjako (?:jazykový model|umělá inteligence|ai\b)",
    ),
    "sv": _of(
        "inte |neka |som en ai|språkmodell",
        r"\b(?:jag kan|kan jag)\b[^.!?\n]{0,40}\binte\b[^.!?\n]{0,40}\b(?:hjälpa|bistå|tillhandahålla|svara|ge|skapa"
        r"|skriva|generera|uppfylla)\b",
        r"\bsom (?:en )?(?:ai\b|språkmodell|ai-)",
    ),
    "tr": _of(
        "olamam|edemem|veremem|getiremem|yapamam|yazamam|layamam|turamam|tamam|sunamam|mıyorum|miyorum|mayacağ|meyeceğ"
        "|yapay zek",
        r"\b(?:yardımcı ola|yardım ede|sağlaya|vere|yerine getire|yanıtlaya|oluştura|yaza|yapa|cevaplaya|katıla"
        r"|suna)(?:mam|mem|mıyorum|miyorum|mayacağım|meyeceğim)\b",
        r"\byapay zek[aâ] (?:dil )?(?:modeli|asistanı)? ?(?:olarak|olduğum)",
    ),
    "vi": _of(
        "không thể|là một",
        r"\b(?:tôi|mình)(?: rất tiếc)? không thể (?:giúp|hỗ trợ|cung cấp|trả lời|thực hiện|đáp ứng|tạo|viết|đưa ra)",
        r"\b(?:là|với tư cách là) (?:một )?(?:mô hình ngôn ngữ|trí tuệ nhân tạo|ai\b|trợ lý ai)",
    ),
    "id": _of(
        "tidak |sebagai",
        r"\b(?:saya|aku) (?:tidak|nggak) (?:dapat|bisa|mampu)(?: \w+)? ?(?:membantu|memberikan|menyediakan|menjawab"
        r"|memenuhi|membuat|menulis)",
        r"\bsebagai (?:sebuah |seorang )?(?:model bahasa|kecerdasan buatan|ai\b|asisten ai)",
    ),
    "zh": _of(
        "无法|不能|没法|不会|不便|不可以|無法|沒法|不會|拒绝|拒絕|作为|作為|我是",
        r"(?:我|抱歉|对不起|對不起|遗憾|遺憾)[^。！？!?\n]{0,14}?(?:无法|不能|没法|不会|不便|不可以|無法|沒法|不會)[^。！？!?\n]{0,10}?"
        r"(?:提供|帮|幫|协助|協助|回答|满足|滿足|完成|生成|创建|創建|撰写|撰寫|写|寫|讨论|討論|参与|參與|执行|執行|给出|給出|支持|处理|處理)"
        r"|我(?:必须|只能|不得不|必須)(?:拒绝|拒絕)",
        r"(?:作为|作為|我(?:只)?是)(?:一个|一款|一名|一位|一個)?(?:人工智能|人工智慧|ai|大?型?语言模型|大?型?語言模型|智能助手)",
    ),
    "ja": _of(
        "できません|できかね|しかねます|応じられ|差し控え|控えさせ|として|です",
        r"(?:申し訳|すみません|ごめん|恐れ入り|残念)[^。！？!?\n]{0,60}?(?:できません|できかねます|いたしかねます|致しかねます|応じられません|差し控え)"
        r"|(?:お手伝い|お答え|回答|提供|対応|ご案内|お応え|協力|支援|作成|生成)(?:する|を|は|に|が|すること|する事)*(?:できません|できかねます|いたしかねます"
        r"|致しかねます|控えさせて|差し控え)",
        r"(?:ai|人工知能|(?:大規模)?言語モデル)(?:言語モデル|アシスタント|モデル)?(?:として|なので|であるため|ですので|です)",
    ),
    "ko": _of(
        "없|어렵|불가|못|거절|로서|모델",
        r"(?:죄송|미안|유감)[^.!?\n]{0,60}?(?:수(?:는|가)? 없|없습니다|어렵습니다|불가능|못합니다|거절)"
        r"|(?:도와드릴|도움을 드릴|도울|제공할|제공해 드릴|답변할"
        r"|답변드릴|답변해 드릴|대답할|응답할|응할|작성할|생성할) 수(?:는|가)? 없",
        r"(?:ai|인공지능|(?:대규모 )?언어 ?모델)(?: 언어 ?모델| 어시스턴트| 비서| 모델)?(?:로서|이기 때문에|이므로|입니다|이라)",
    ),
    "ar": _of(
        "لا |لن |لست|غير قادر|عتذر|بصفتي|باعتباري|كنموذج|كوني",
        r"(?:لا أستطيع|لا استطيع|لا يمكنني|لن أتمكن من|لن أستطيع|لست قادر\w* على|غير قادر\w* على|لا أقدر على)(?: \S+){0,2}? ?"
        r"(?:ال)?(?:مساعد|تقديم|[إا]جابة|توفير|تلبية|[إا]نشاء|كتابة|تنفيذ|مناقشة|[إا]عطاء|دعم|مشاركة)"
        r"|أعتذر[^.!؟\n]{0,30}(?:لا |لن )",
        r"(?:بصفتي|باعتباري|كوني|كنموذج|أنا) ?(?:مجرد )?(?:نموذج|ذكاء|مساعد ذك|لغوي|لغة)",
    ),
    "hi": _of(
        "नहीं|असमर्थ|के रूप में",
        r"(?:मैं|मुझे)[^।!?\n]{0,60}(?:मदद|सहायता|प्रदान|जानकारी|उत्तर)[^।!?\n]{0,30}(?:नहीं कर सक|नहीं दे सक|असमर्थ)",
        r"(?:एआई|ai|भाषा मॉडल|कृत्रिम बुद्धिमत्ता)[^।\n]{0,20}के रूप में",
    ),
}
"""ISO 639-1 code -> phrases."""
