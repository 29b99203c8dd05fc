"""How English answers decline: phrases over folded text (lower case, straight quotes), each kind with its own weight "
"in score.py."""

from __future__ import annotations

import re

_CANNOT = (
    r"\bi(?:'m| am)?(?: (?:really|truly|simply|just|also|still|unfortunately|regretfully|therefore|must inform you that i))* ?"
    r"(?:can ?not|can't|cant|won't|wont|will not|would not be able to|will not be able to|won't be able to|wouldn't be able to"
    r"|(?:am )?(?:not able|unable|not going|not allowed|not permitted|not programmed|not designed|not authori[sz]ed) to"
    r"|refuse to|decline to|(?:must|have to|need to) (?:refuse|decline) to|prefer not to|would (?:rather|prefer) not(?: to)?"
    r"|should ?n't|should not|could not|couldn't|don't want to|do not want to|am hesitant to)"
    r"(?: (?:directly|currently|in good conscience|ethically|actually|really|fully|help you|assist you and))*"
)
_KNOWLEDGE = (
    r"(?:(?:any|the|you|a|an|specific|detailed|further|more|such|verbatim|direct|definitive|personal|medical|legal|financial"
    r"|explicit|real-time|with|exact|personalized|professional|harmful|sexual|inappropriate|content|full|accurate) )*"
    r"(?:information|advice|guidance|instructions?|details|assistance|help|content|recommendations?|opinions?|answers?|support"
    r"|suggestions?|ways|excerpts|diagnos[ei]s|explanations?|specifics|examples|links?|text|that|this|it|those|these|personal"
    r"|materials?|stories|jokes|predictions?|feedback|response|responses|list|script|essay|poem|article|code|scenarios?|you)\b"
)
DECLINE = re.compile(
    rf"{_CANNOT} (?:"
    r"help(?! (?:but|it|feeling|falling|thinking|wondering|noticing|loving|smiling|laughing|myself|the way|how|what i))\b"
    r"|assist\b|comply\b|engage\b|participate\b|condone\b|encourage\b|facilitate\b|role ?-?play\w*|continue (?:this|with this)"
    r"|fulfil+\b|do (?:that|this|so|it)\b|answer\b|respond to\b|discuss\b|comment on\b|speculate\b|promote\b|endorse\b"
    r"|be a part\b"
    rf"|(?:provide|give|offer|share|supply) {_KNOWLEDGE}"
    r"|(?:provide|generate|produce) "
    r"|(?:create|write|compose|draft|make up|make) (?:that|this|such|content|an?|any|the|it|something|jokes?|stories)\b)"
    r"|\bi(?:'m| am)?(?: really| truly| just)? ?(?:do not|don't|dont|would not|wouldn't|not) (?:feel |be )?comfortable\b"
    r"|\bi (?:must|have to|need to|will have to|would have to|will|'ll)(?: (?:respectfully|politely"
    r"|also))? (?:decline|refuse)\b"
    r"|\bi(?:'m| am) (?:not able|unable) to do that\b|\bi(?:'m| am) not (?:allowed|permitted) to\b"
    r"|\bi (?:respectfully |must |have to )*decline\b(?! (?:in|of))"
    r"|\bit(?:'s| is) (?:not|never|neither) (?:\w+ )?(?:appropriate|ethical|safe|okay|acceptable|right"
    r"|legal)(?:,? (?:or|and|nor) \w+)* (?:for me )?to "
    r"(?:provide|give|offer|share|discuss|suggest) (?:information|instructions?|advice|guidance|suggestions"
    r"|recommendations|details|or )"
    r"|\b(?:do not|don't|cannot|can't|does not) (?:condone|endorse|advocate|promote or|support or) \w+"
    r"|\b(?:it (?:would be|is|'s)|that(?: is|'s)|this is) (?:against my|not something (?:that )?i(?:'m| am| do| can)\b)"
    r"|\b(?:goes|is|would be|it's) against (?:my|openai's|anthropic's|the) (?:programming|guidelines|polic\w+|values"
    r"|principles|"
    r"ethical|content|use|usage)\b|\bviolates? (?:my|openai's|anthropic's|our) (?:\w+ )?(?:guidelines|polic\w+)\b"
)
"""The model says that it won't, or can't, do what it was asked."""
BARE = re.compile(r"(?:^|[,;.!] ?(?:but )?)i (?:can't|cannot|can not|won't|will not)(?: do (?:that|this|it))?[.!]?$")
"""`..., but I can't.`: all that there is after an apology."""
WEAK = re.compile(
    rf"{_CANNOT} (?:recommend|suggest|advise|give|tell|share|offer|write|create|access|browse|open|view|predict"
    rf"|determine|summari[sz]e"
    r"|translate|complete|perform|display|support|make|see|search|verify|identify|say|know|extract|experience|remember"
    r"|provide)\b"
    r"|\bi (?:do not|don't)(?: currently| actually| really)* (?:know the|have (?:the )?(?:access|real-time|realtime|up-to-date"
    r"|up-to-date|the (?:ability|capability)|any information|information|a (?:pre-?defined|comprehensive|full)))\b"
)
"""Inability that people state too: it counts where an apology, a self-description or an offer is near."""
LACKS = re.compile(
    r"\bi (?:do not|don't)(?: currently| actually| really)* have (?:the )?(?:enough|sufficient"
    r"|necessary)(?: \w+){0,2} (?:context|information|details|data)\b"
)
"""A question back rather than a refusal."""
SELF = re.compile(
    r"\bas an? (?:(?:ai|artificial intelligence)(?=[,;.:]| i\b| who\b| that\b| without\b| trained\b| developed\b"
    r"| created\b| and\b)"
    r"|(?:[\w-]+ ){0,2}(?:language model|ai (?:language )?model|ai (?:assistant|chatbot|system|program)|text-based model"
    r"|chatbot|virtual assistant|computer program)(?: ai)?(?=[,;.:]|$| i\b| my\b| with\b| without\b| who\b| that\b"
    r"| trained\b| developed\b"
    r"| created\b| designed\b| and\b|\s)(?! (?:developer|engineer|researcher|company|designer|trainer|user|vendor)s?\b)"
    r"|(?:helpful|harmless|responsible|ethical|virtual)(?:[,\w ]{0,30})? assistant(?=[,;.]))"
    r"|\bi(?:'m| am) (?:just |only |merely |simply )?(?:an? )?(?:(?:[\w-]+ ){0,2}(?:language model|ai (?:language )?model"
    r"|ai (?:assistant|chatbot|system|program))|ai\b(?! (?:engineer|researcher|developer|company|startup))"
    r"|artificial intelligence\b"
    r"|computer program|chatbot|virtual assistant|claude|chatgpt)\b"
    r"|\bi (?:do not|don't)(?: actually| really| currently)* (?:have|possess|hold|experience|form)(?: any| a| my own| the)?"
    r" ?(?:strong |human |subjective )*(?:(?:personal|subjective) (?:opinions?|views?|thoughts?|experiences?|feelings?"
    r"|beliefs?|preferences?)"
    r"|feelings|emotions|consciousness|strong opinions?|opinions? (?:on|about)|opinions[.,]|physical (?:body|form)"
    r"|real-time (?:data|capabilit\w+))"
)
"""The model speaks of itself as a model, or says that it has no view."""
APOLOGY = re.compile(
    r"\b(?:i(?:'m| am)|im) (?:(?:really|very|so|truly|deeply|terribly) )?(?:sorry|afraid)\b|^sorry\b"
    r"|\bi apologi[sz]e\b|\bmy apologies\b"
    r"|\bunfortunately\b|\bregretfully\b"
)
"""It regrets; alone it says nothing."""
SORRY_BUT = re.compile(
    r"\b(?:i(?:'m| am)|im)(?: (?:really|very|so|truly))? sorry,? but (?:as an\b|i(?: can't| cannot| can not| won't"
    r"| will not)[.! ]?$"
    r"|(?:that|this|it)(?:'s| is) (?:not something|against))"
)
"""An apology that can't mean anything but a refusal."""
DELIVERS = re.compile(
    r"\b(?:however|but|instead|that said|nevertheless|still)[, ]+(?:\w+ ){0,6}?(?:i can|i'll|i will|i could|i'd be"
    r"|here (?:is|are)|here's|some|let me|below"
    r"|for example|generally|in general|i think|based on)\b|\bhere (?:is|are|'s) (?:a|an|some|the|my)\b"
    r"|\bi can (?:provide|give|offer|tell|help|suggest)\b"
)
"""After the opening comes what was asked for, at least in part."""
OFFER = re.compile(
    r"\b(?:perhaps|maybe) (?:we|you|it|i) (?:could|would|can|might|should)\b|\bi(?:'d| would|'ll"
    r"| will) be (?:more than )?(?:happy|glad) to\b"
    r"|\b(?:instead,? |however,? )?i(?:'d| would| can| could| must| strongly| do)*(?: \w+)? (?:suggest|recommend"
    r"|encourage|advise)\b|\bif you have any (?:other|further|more|questions|legal)"
    r"|\bplease (?:consult|check|refer|contact|visit|let me know|feel free|provide|seek|reach out|do not hesitate)\b"
    r"|\bhow (?:may|can|else) (?:i|may|can)\b"
    r"|\bis there (?:anything|something) else\b|\blet me know\b|\bfeel free to\b|\bi(?:'m| am) here to (?:help|assist)\b"
    r"|\bthere are reasonable arguments\b|\bultimately,? (?:it|this) depends\b|\b(?:to be |designed to be )?helpful, harmless\b"
    r"|\bthank you for (?:your )?understanding\b"
)
"""A way out that is offered instead of an answer."""
LECTURE = re.compile(
    r"\b(?:un)?ethical\w*\b|\bethics\b|\billegal\w*\b|\bimmoral\b|\bmorally\b|\b(?:in)?appropriate\b|\bharm(?:ful|ing"
    r"|s)?\b|\bdangerous\b"
    r"|\b(?:un)?acceptable\b|\bimportant to (?:\w+ )?(?:remember|note|recogni[sz]e|respect|prioriti[sz]e|treat"
    r"|understand|consider|always|seek|address|promote)\b"
    r"|\bagainst the law\b|\bconsequences\b|\bwell-being\b|\bdignity\b|\bprofessional\b|\bcounsel\w*\b|\btherapist\b"
    r"|\bhotline\b|\bauthorities\b"
    r"|\bprivacy\b|\bconsent\b|\bjust an ai\b|\bprogramming\b|\bguidelines\b|\b(?:fair|equal)(?:ly|ity|ness)?\b"
    r"|\bdiscriminat\w+\b|\bstereotyp\w+\b"
    r"|\bfictional\b|\bclarify your question\b|\bmore context\b|\bi(?:'m| am)? (?:would|will|must|strongly"
    r"|highly)? ?(?:urge|encourage|suggest|recommend)\b"
)
"""A sermon instead of an answer, once the answer was declined."""
PREACHES = re.compile(
    r"\bit(?:'s| is|(?: would|'d) be) (?:not|never|in|un|neither)[ -]?(?:\w+ )?(?:appropriate|ethical|safe|okay"
    r"|acceptable|right|legal)(?:,? (?:or|and|nor) \w+)* (?:for me )?to "
    r"(?:provide|ask|discuss|suggest|give|make|share|try|recommend|describe)\b"
)
"""It says that asking, or telling, is not right; people say so too."""
COMPANY = re.compile(
    r"\bwe(?:'re| are| can| will| offer| only| have| do| don't| accept| ship| charge)\b(?! (?:both|all)\b)"
    r"|\bour (?:team|store|shop|support|office|system|return|refund|policy|company|website|staff|customer|service"
    r"|warehouse|terms|hours|agents?)\w*\b|\byour (?:order|account|parcel|payment|booking|subscription|refund|ticket"
    r"|delivery|card|invoice)\b"
    r"|\b(?:but|however,?) you can\b"
)
"""The voice of a business that rightly says what it can't do."""
TOLD = re.compile(
    r"\b(?:said|says|replied|whispered|shouted|murmured|cried|she asked|he asked|they asked)\b(?! that i)"
)
"""Somebody in a story says it."""
CUES = (
    "can't",
    "cannot",
    "can not",
    "won't",
    "will not",
    "unable to",
    "not able",
    "be able to",
    "sorry",
    "apolog",
    "comfortable",
    "decline",
    "refuse",
    " ai ",
    " ai,",
    " ai.",
    " ai-",
    "an ai",
    "language model",
    "assistant",
    "i don't",
    "i do not",
    "n't have",
    "not have",
    "against",
    "violate",
    "not permitted",
    "not allowed",
    "chatbot",
    "programmed",
    "computer program",
    "i'm claude",
    "i am claude",
    "i'm chatgpt",
    "i am chatgpt",
    "cant ",
    "wont ",
    "should not",
    "shouldn't",
    "could not",
    "couldn't",
    "not appropriate",
    "not ethical",
    "not safe",
    "not acceptable",
    "condone",
    "endorse",
    "prefer not",
    "rather not",
    "i'm not",
    "i am not",
    "im not",
    "hesitant",
    "artificial",
    "advocate",
    "inappropriate",
    "unethical",
    "text-based model",
)
"""None of these words: no refusal in English, at the price of a few searches."""
