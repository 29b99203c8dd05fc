"""Answers that name the model or the vendor they come from: `I'm Claude, made by Anthropic`. A student should not "
"learn that name.

Not answers about vendors (`Claude is a model by Anthropic`): only what is said in the first person, outside quotation marks.
"""

from __future__ import annotations

import re

from distil.refusals.score import Refusal, fold, without_quotes
from distil.text import one_line

_VENDORS = (
    "anthropic|openai|google(?: deepmind)?|deepmind|meta(?: ai)?|mistral(?: ai)?|microsoft|alibaba(?: cloud| group)?"
    "|deepseek|x\\.?ai|cohere|ai21(?: labs)?"
    "|baidu|tencent|bytedance|zhipu(?: ai)?|moonshot(?: ai)?|01\\.ai|amazon|nvidia|ibm|perplexity|inflection(?: ai)?"
    "|lmsys|large model systems organization"
    "|stability ai|together ai|databricks|nous research|technology innovation institute"
    "|智谱|百度|阿里云|阿里巴巴|月之暗面|深度求索|字节跳动"
)
_MODELS = (
    "claude|chatgpt|gpt-?\\d[\\w.-]*|gpt|gemini|bard|gemma|palm|llama(?:[ -]?\\d[\\w.]*)?|mistral|mixtral|ministral|le "
    "chat|qwen[\\w.-]*|通义千问|tongyi qianwen"
    "|deepseek[\\w.-]*|grok|command r\\+?|phi-?\\d[\\w.]*|copilot|bing chat|vicuna|alpaca|koala|falcon|yi-?\\d[\\w.]*"
    "|kimi|ernie(?: bot)?|文心一言|doubao|豆包|glm-?\\d*|chatglm[\\w.-]*"
    "|hunyuan|nova|titan|granite|nemotron|pi|perplexity|hermes|zephyr|olmo|tulu|jurassic[\\w.-]*|dbrx"
)
_WHO = r"(?:i(?:'m| am)|my name is|call me|you can call me|this is)(?: actually| just| simply| also)?"
_KIND = (
    r"(?:an? |the )?(?:[\w-]+[ ,]+){0,4}?(?:ai|assistant|model|chatbot|language model|system|program|agent|tool)s?\b"
)
_MAKES = r"(?:made|created|built|developed|trained|designed|powered|produced|provided|offered|maintained)"
_IN_ENGLISH = re.compile(
    rf"\b{_WHO} (?:{_MODELS})\b(?!['-]s? )(?=[,.!;: ]|$)(?! (?:street|monet|debussy|user|customer|owner|reader)\b)"
    rf"|\b{_WHO} {_KIND}(?: (?:that|which) (?:is|was))?,? ?(?:(?:called|named) \w+,? )?(?:{_MAKES}|from|by"
    rf"|at)\b[^.!?\n]{{0,30}}\b(?:{_VENDORS})\b"
    rf"|\bi(?:'m| am| was|'ve been| have been)(?: an? [\w ,-]{{0,40}})? ?(?:\w+ )?{_MAKES} by (?:{_VENDORS}"
    rf"|researchers at (?:{_VENDORS}))\b"
    rf"|\bas an? [^.!?\n]{{0,50}}\b{_MAKES} by (?:{_VENDORS})\b"
    rf"|\b(?:my (?:creators?|developers?|makers?)(?: is| are| at)?|i was (?:{_MAKES[3:-1]}) at) (?:{_VENDORS})\b"
)
_MADE_ELSEWHERE = re.compile(
    rf"\b(?:soy|je suis|ich bin|sono|sou|ik ben|jestem|я)[ ,—-]{{1,3}}(?:un[ae]? |ein[e]? |een "
    rf"|um[a]? )?(?:[\w-]+[ ,]+){{0,5}}?(?:{_MODELS}|{_VENDORS})\b"
    rf"|\b(?:créé|entwickelt|erstellt|cread[oa]|desarrollad[oa]|entrenad[oa]|criad[oa]|desenvolvid[oa]|sviluppat[oa]"
    rf"|creat[oa]|ontwikkeld|stworzon\w*|создан\w*|разработан\w*)"
    rf" (?:por|par|von|da|pela?|door|przez|компанией)? ?(?:{_VENDORS})\b"
    rf"|我(?:是|叫)[^。,，!！?？\n]{{0,20}}(?:{_MODELS}|{_VENDORS})|由[^。,，\n]{{0,12}}(?:{_VENDORS})[^。,，\n]{{0,10}}(?:开发|訓練"
    rf"|训练|開發|创建|研发)"
    rf"|(?:私|わたし)は[^。\n]{{0,20}}(?:{_MODELS}|{_VENDORS})|(?:저는|나는)[^.\n]{{0,20}}(?:{_MODELS}|{_VENDORS})"
    rf"|(?:{_VENDORS})(?:が|によって)[^。\n]{{0,10}}(?:開発|作成|訓練)"
    rf"|(?:{_VENDORS})(?:에서|이|가|에 의해)[^.\n]{{0,10}}(?:개발|만든|훈련)"
    rf"|(?:أنا|انا) [^.\n]{{0,30}}(?:{_MODELS}|{_VENDORS})"
)
_NAMES = re.compile(
    rf"\b(?:{_VENDORS}|claude|chatgpt|gemini|llama|qwen|vicuna|grok|deepseek|mistral|通义千问|文心一言)\b|智谱|百度|阿里|月之暗面"
)
_PLAIN_NAMES = (
    "anthropic",
    "openai",
    "google",
    "deepmind",
    "meta",
    "mistral",
    "microsoft",
    "alibaba",
    "deepseek",
    "xai",
    "x.ai",
    "cohere",
    "ai21",
    "baidu",
    "tencent",
    "bytedance",
    "zhipu",
    "moonshot",
    "01.ai",
    "amazon",
    "nvidia",
    "ibm",
    "perplexity",
    "inflection",
    "lmsys",
    "large model systems",
    "stability ai",
    "together ai",
    "databricks",
    "nous research",
    "technology innovation",
    "claude",
    "gpt",
    "gemini",
    "bard",
    "gemma",
    "llama",
    "mixtral",
    "qwen",
    "grok",
    "copilot",
    "bing chat",
    "vicuna",
    "kimi",
    "ernie",
    "doubao",
    "chatglm",
    "智谱",
    "百度",
    "阿里",
    "月之暗面",
    "深度求索",
    "字节跳动",
    "通义",
    "文心",
    "豆包",
)
"""One of these is in every answer that names its maker; for speed."""
_I_AM = ("i'm ", "i am ", "my name is", "call me", "this is ")
_OF_ITSELF = (
    "i'm ",
    "i am ",
    "my name is",
    "call me",
    "this is ",
    "as an",
    "as a ",
    "i was ",
    "i've been",
    "i have been",
    "my creator",
    "my developer",
    "my maker",
    "soy ",
    "je suis",
    "ich bin",
    "sono ",
    "sou ",
    "ik ben",
    "jestem",
    "я ",
    "créé ",
    "entwickelt",
    "erstellt",
    "cread",
    "desarrollad",
    "entrenad",
    "criad",
    "desenvolvid",
    "sviluppat",
    "creat",
    "ontwikkeld",
    "stworzon",
    "создан",
    "разработан",
    "我",
    "由",
    "私",
    "わたし",
    "저는",
    "나는",
    "が",
    "によって",
    "에서",
    "에 의해",
    "أنا",
    "انا",
)
_AMBIGUOUS = re.compile(
    r"\b(?:this is|call me|i(?:'m| am)|my name is) (?:just |simply )?(?:gemini|nova|phi|pi|hermes|zephyr|titan|alpaca"
    r"|falcon|koala|claude|bard|copilot|yi)\b"
)
_OF_A_MACHINE = re.compile(r"\b(?:ai|assistant|model|chatbot|trained|anthropic|openai|google|meta)\b")
_ROLE = re.compile(
    r"\b(?:you are|your name is|act as|pretend|play|role ?-?play|persona|impersonate|imagine you|write|story|dialogue"
    r"|translate|quote|rewrite|paraphrase|classif\w+|extract)\b"
)


def vendor_identity(text: str, asked: str = "", told: str = "") -> Refusal | None:
    """How surely the answer names its own maker, 0 to 1, and by which words; None = no sign of it.

    asked, told: the last turn of the prompt and its system message; a name that they bring (`You are Claude`) counts for less.
    """
    folded = fold(text[:2_000])
    named = any(map(folded.__contains__, _PLAIN_NAMES)) and any(map(folded.__contains__, _OF_ITSELF))
    if not named and not (any(map(folded.__contains__, _I_AM)) and _AMBIGUOUS.search(folded)):
        return None
    plain = without_quotes(folded)
    found = _IN_ENGLISH.search(plain) or _MADE_ELSEWHERE.search(plain)
    if found is None:
        return None
    score = 1.0
    given = fold(f"{told}\n{asked}")
    if _AMBIGUOUS.fullmatch(found[0].strip()) and not _OF_A_MACHINE.search(plain):
        score = 0.3  # a person or a figure of that name
    names = {match[0] for match in _NAMES.finditer(found[0])}
    if names and all(name in given for name in names) and _ROLE.search(given):
        score *= 0.4
    return Refusal(score, one_line(text[found.start() : found.end()], 80))
