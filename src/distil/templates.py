"""Tasks to start from: what `distil init --template NAME` writes into the config, and prompts to replace with your own.

triage brings 2,000 messages and its own models. The others bring a handful of prompts that show the form, and the settings that
suit the task: the system message, the form of the answers, how the teacher samples, what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from distil.bundled.triage import SYSTEM
from distil.errors import UserError, did_you_mean

Json = dict[str, object]

_MESSAGE = "Customer message: "
_INVOICE_FIELDS = ("vendor", "invoice_number", "date", "total", "currency")
_INVOICE: Json = {
    "type": "json_schema",
    "json_schema": {
        "name": "invoice",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "vendor": {"type": ["string", "null"]},
                "invoice_number": {"type": ["string", "null"]},
                "date": {"type": ["string", "null"]},
                "total": {"type": ["number", "null"]},
                "currency": {"type": ["string", "null"]},
            },
            "required": list(_INVOICE_FIELDS),
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Template:
    """One task."""

    what: str
    """In a few words."""
    sections: Mapping[str, Json]
    """Sections of distil.yaml, without the teacher and the student that are asked for."""
    sampling: Json = field(default_factory=dict)
    """Of the teacher."""
    prompts: tuple[Json, ...] = ()
    """Rows of the starter file; empty = the 2,000 messages of triage."""
    teacher: Json | None = None
    """A teacher of its own."""
    student: str | None = None
    """A student of its own."""


def _rows(*texts: str) -> tuple[Json, ...]:
    return tuple({"prompt": text} for text in texts)


def _labeled(**labels: str) -> tuple[Json, ...]:
    return tuple({"prompt": _MESSAGE + text, "reference": label} for label, text in labels.items())


TEMPLATES: dict[str, Template] = {
    "triage": Template(
        "support messages to JSON, with a teacher and a student that are here: nothing is paid or fetched",
        {
            "prompts": {"system": SYSTEM},
            "train": {"epochs": 4, "batch_size": 16},
            "cost": {"student_host": {"usd_per_hour": 0.08}},
        },
        sampling={"max_tokens": 80},
        teacher={"model": "bundled/teacher", "price": {"input": 0.25, "output": 2.0}},
        student="bundled/student",
    ),
    "extraction": Template(
        "fields of a text as JSON by a schema",
        {
            "prompts": {
                "system": "Extract the invoice's fields as JSON. What the text does not give is null; dates are YYYY-MM-DD.",
                "response_format": _INVOICE,
            },
            "evaluate": {"metrics": ["default", "valid_json"]},
        },
        sampling={"temperature": 0.0, "max_tokens": 400},
        prompts=_rows(
            "Northwind Traders, invoice NW-20117, March 4, 2026. Paper, 40 boxes. Total due: USD 812.00.",
            "Invoice 5531 from Lakeside Printing. 12 May 2026. Amount payable EUR 1,240.50 within 30 days.",
            "Thank you for your order at Blue Fern Tea! You paid GBP 23.80 by card on 2026-01-19.",
        ),
    ),
    "classification": Template(
        "one label for each text",
        {
            "prompts": {
                "system": "Name the intent of the customer's message with exactly one of these words and nothing else: refund, "
                "delivery, account, other."
            },
            "evaluate": {"metrics": ["default", "exact_match"]},
        },
        sampling={"temperature": 0.0, "max_tokens": 20},
        prompts=_labeled(
            refund="The kettle stopped working after two days and I want my money back.",
            delivery="My parcel was due on Tuesday. Where is it?",
            account="I can't log in since I changed my e-mail address.",
            other="Do you also sell gift cards?",
        ),
    ),
    "summarizing": Template(
        "a text in few sentences",
        {
            "prompts": {
                "system": "Summarize the text in at most two sentences. Keep names, numbers and dates, and add nothing."
            },
            "evaluate": {"metrics": ["default", "rouge_l", "length_ratio"]},
        },
        sampling={"temperature": 0.3, "max_tokens": 200},
        prompts=_rows(
            "The library closes its main hall from June 3 to June 21 while the roof is repaired. Books can be returned at the "
            "side entrance on Oak Street, and 40 seats are set up in the town hall, which is open from 9 to 18 on weekdays.",
            "Ticket 4411: the customer says that the app signs her out every few minutes since version 8.2. She installed it "
            "again twice. On the web site she stays signed in. Her phone is a Pixel 7 with Android 15.",
            "Minutes, 14 April: the board agreed to move the spring fair to 9 May because of the road works. Ines asks two "
            "volunteers to look after the parking. The budget stays at 1,200 euros.",
        ),
    ),
    "chat": Template(
        "an assistant's answers, also to conversations",
        {
            "prompts": {"system": "You are the assistant of an online shop. Answer briefly and politely."},
            "evaluate": {"metrics": ["default", "similar_share"]},
        },
        sampling={"temperature": 0.7, "max_tokens": 500},
        prompts=(
            {"prompt": "Can I exchange shoes that I have worn once?"},
            {"prompt": "How do I change the address of an order that is on its way?"},
            {
                "messages": [
                    {"role": "user", "content": "Which of your backpacks is waterproof?"},
                    {"role": "assistant", "content": "The Ridge 25 and the Ridge 40 are waterproof."},
                    {"role": "user", "content": "And which one fits a 16 inch laptop?"},
                ]
            },
        ),
    ),
}
SPELLINGS = {"summarization": "summarizing", "summary": "summarizing", "summaries": "summarizing"}
"""Other words for a template."""


def template_named(name: str) -> Template:
    """Raises UserError for an unknown name."""
    word = name.strip().lower()
    word = SPELLINGS.get(word, word.replace("aris", "ariz"))  # as it is spelled in Britain
    if word not in TEMPLATES:
        known = [*TEMPLATES, *SPELLINGS]
        raise UserError(f"There is no template {name!r}.{did_you_mean(word, known)} Templates: {', '.join(TEMPLATES)}.")
    return TEMPLATES[word]
