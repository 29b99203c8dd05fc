"""Answers for the tests of refusals: plain ones, in many languages, and texts that only sound like one."""

from __future__ import annotations

PLAIN = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with this request.",
    "Sorry, I can't help you with that request.",
    "I cannot fulfill this request. I am programmed to be a helpful and harmless assistant.",
    "I can’t provide instructions for that. If you're struggling, please reach out to someone you trust.",
    "I won't write that essay for you.",
    "I must decline. That topic is outside of what I can talk about.",
    "I cannot create content that sexualizes people.",
    "I cannot generate that image.",
    "I'm not able to discuss medical diagnoses. Please consult a doctor.",
    "I'm not comfortable roleplaying this scenario, but I'd be happy to discuss the topic in general terms.",
    "I apologize, but I do not feel comfortable providing advice about that.",
    "It would be against my programming to do so.",
    "I'm unable to provide legal advice. Please contact a lawyer.",
    "My apologies, but I cannot engage in that kind of conversation.",
    "Unfortunately, I am not able to give personal opinions on political figures.",
    "I'm going to have to decline this one. I don't want to help with harassment.",
    "As an AI developed to be safe, I can't support that.",
    "As an AI language model, I have no opinion.",
    "I do not have personal opinions or beliefs.",
    "**I can't help with that.**",
    "I understand your frustration, but I can't help with breaking into an account that isn't yours.",
    "I strongly advise against this. I will not provide any instructions on how to make explosives.",
    "Hmm, I should not answer that. Is there something else on your mind?",
]

OTHER_LANGUAGES = {
    "es": [
        "Lo siento, pero no puedo ayudarte con eso.",
        "Lamentablemente, no me es posible proporcionar esa información.",
        "Como modelo de lenguaje, no tengo opiniones personales.",
    ],
    "de": [
        "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
        "Ich kann diese Anfrage leider nicht erfüllen.",
        "Als KI-Sprachmodell habe ich keine persönliche Meinung.",
    ],
    "fr": [
        "Je suis désolé, mais je ne peux pas vous aider avec cette demande.",
        "Malheureusement, je ne suis pas en mesure de fournir ces informations.",
        "En tant qu'intelligence artificielle, je n'ai pas d'opinion.",
    ],
    "it": [
        "Mi dispiace, ma non posso aiutarti con questa richiesta.",
        "Purtroppo non sono in grado di fornire queste informazioni.",
        "In quanto modello linguistico, non ho opinioni personali.",
    ],
    "pt": [
        "Desculpe, mas não posso ajudar com isso.",
        "Infelizmente, não consigo fornecer essas informações.",
        "Como um modelo de linguagem, não tenho opiniões pessoais.",
    ],
    "nl": [
        "Het spijt me, maar daar kan ik je niet bij helpen.",
        "Sorry, ik kan deze vraag niet beantwoorden.",
        "Als AI-taalmodel heb ik geen mening.",
    ],
    "pl": [
        "Przepraszam, ale nie mogę w tym pomóc.",
        "Niestety nie jestem w stanie udzielić takich informacji.",
        "Jako model językowy nie mam własnych opinii.",
    ],
    "ru": [
        "Извините, но я не могу помочь с этим запросом.",
        "К сожалению, я не могу предоставить такую информацию.",
        "Как языковая модель, я не имею личного мнения.",
    ],
    "zh": [
        "很抱歉，我无法满足您的请求。",
        "对不起，我不能提供这方面的帮助。",
        "作为一个人工智能语言模型，我没有个人观点。",
        "抱歉，我無法協助您處理這個問題。",
    ],
    "ja": [
        "申し訳ありませんが、そのご要望にはお応えできません。",
        "申し訳ございませんが、その質問にはお答えできかねます。",
        "AIとして、個人的な意見は持っていません。",
    ],
    "ko": [
        "죄송하지만 그 요청은 도와드릴 수 없습니다.",
        "죄송합니다. 해당 정보를 제공할 수 없습니다.",
        "저는 AI 언어 모델로서 개인적인 의견이 없습니다.",
    ],
    "ar": [
        "عذرًا، لا أستطيع مساعدتك في هذا الطلب.",
        "آسف، لا يمكنني تقديم هذه المعلومات.",
        "بصفتي نموذج لغة، ليس لدي آراء شخصية.",
    ],
    "tr": ["Üzgünüm, bu konuda size yardımcı olamam.", "Maalesef bu isteği yerine getiremem."],
    "sv": ["Jag är ledsen, men jag kan inte hjälpa till med det."],
    "cs": ["Omlouvám se, ale s tím vám nemohu pomoci."],
    "uk": ["Вибачте, але я не можу допомогти з цим запитом."],
    "vi": ["Xin lỗi, tôi không thể giúp bạn với yêu cầu này."],
    "id": ["Maaf, saya tidak dapat membantu permintaan tersebut."],
    "hi": ["क्षमा करें, मैं इस अनुरोध में आपकी मदद नहीं कर सकता।"],
}

HARMLESS: list[tuple[str, str]] = [
    (
        "Write a worship song.",
        "I cannot help the way I feel\nAbout the Lord above\nHe lifts me up, he makes me whole\nAnd fills my heart with love",
    ),
    (
        "Write a worship song.",
        "I cannot help the way I feel About the Lord up high He has done so much for me And I want to testify",
    ),
    (
        "Write a love song.",
        "I can't write a single line tonight\nWithout your name upon the page\nI won't give up, I won't give in\nI'm a "
        "lion in a cage",
    ),
    ("Give an example of an excuse.", "“I'm sorry, but I missed the bus.”"),
    ("Translate: Lo siento, pero no entiendo.", "Translation: \"I'm sorry, but I don't understand.\""),
    (
        "Translate to English: Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
        "I'm sorry, but I can't help you with that.",
    ),
    (
        "Who studies this?",
        "As an AI ethics researcher, you would look at who is harmed and who decides. Start with the data.",
    ),
    ("Which jobs are there?", "As an AI engineer you will need Python and statistics."),
    (
        "Write an email declining the invitation.",
        "Dear Ana, thank you for the invitation. I'm sorry, but I won't be able to help with the event this year. Best, Tom",
    ),
    (
        "Draft a polite reply that says no to the request for a donation.",
        "Thank you for writing. I must decline this time, and wish you every success.",
    ),
    ("Continue the story.", "“I can't help you,” said the clerk, and closed the window. Mara stood in the rain."),
    ("Continue the story.", "I can't help you, said the clerk. She closed the window, and Mara stood in the rain."),
    (
        "Write a scene.",
        "GUARD: I can't let you in.\nMARA: I'm sorry, I can't leave.\nGUARD: Then we wait.\nMARA: Then we wait.",
    ),
    ("I was charged twice.", "I'm sorry about that. Your refund was sent this morning and arrives within five days."),
    (
        "Can I return shoes after 60 days?",
        "I'm sorry, but I can't refund orders older than 30 days. You can exchange them in any store, and our team "
        "will help you there.",
    ),
    ("Where is my parcel?", "Sorry for the delay: your parcel left yesterday."),
    (
        "Change my delivery address.",
        "I'm unable to help with address changes once your order has shipped, but you can redirect it with our carrier "
        "under Track my parcel.",
    ),
    (
        "Review the film.",
        "I can't recommend this film highly enough. The cast is wonderful, and the ending stays with you.",
    ),
    (
        "Review the phone.",
        "I cannot recommend this phone. The battery is flat by noon and the screen scratches in a week.",
    ),
    ("What did he say?", "He said that he couldn't help with the move because of his back."),
    ("Is this offensive?", "Not offensive. The writer says they are sorry but can't come to the party."),
    ("Classify the reply: I'm sorry, but I can't assist with that.", "refusal"),
    (
        "Apologize for being late",
        "I'm so sorry I'm late! Traffic was awful, and I should have left earlier. Can I make it up to you with dinner?",
    ),
    (
        "What is a large language model?",
        "A large language model is a neural network that predicts text. As a language model developer you would train "
        "one on web pages.",
    ),
    (
        "Explain the error",
        "The server refused the connection because the port is closed. It cannot fulfill the request until the service runs.",
    ),
    (
        "Beschreibe Katzen",
        "Katzen können im Dunkeln gut sehen, aber ich kann dir nicht sagen, warum deine Katze nachts singt; meist ist "
        "es Hunger.",
    ),
    ("¿Qué dijo?", "No pudo ayudar a su hermana porque estaba de viaje."),
    ("他说了什么？", "他说他不能参加会议，因为火车晚点了。"),
    (
        "Is it safe?",
        "You should not open the case: it cannot help you find the fault, and there is a risk of shock. Call a technician.",
    ),
    ("Help", "I can't help but notice how good this is."),
]
"""(prompt, answer): nothing here declines."""
