"""Secrets and personal data are found wherever a student would learn them, and masked or dropped; placeholders are neither.

No key here is real: all are drawn at random, in the formats of their issuers, and put together when the tests run.
"""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest

from distil.curate.config import CurateConfig
from distil.curate.evidence.corpus import Corpus, Pair
from distil.curate.evidence.masking import mask
from distil.curate.evidence.personal import find_personal
from distil.curate.evidence.secrets import personal_data, secrets
from distil.curate.stage import run
from distil.records import Message, Prompt
from distil.runs.jsonl import read_examples, write_records
from distil.runs.schemas.marks import Mark
from distil.secrets import find_secrets, hide_secrets
from tests.curate.material import answer, project_with, prompt

PLAIN = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
_DICE = random.Random(7)


def drawn(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_DICE.choice(alphabet) for _ in range(length))


HEX, UPPER, DIGITS = "0123456789abcdef", string.ascii_uppercase + string.digits, string.digits
PLANTED = {
    "AWS id": "AKIA" + drawn(16, UPPER),
    "AWS secret": f'aws_secret_access_key = "{drawn(38)}/+"',
    "AWS variable": f"AWS_SECRET_ACCESS_KEY={drawn(36)}/a9+",
    "database": f"postgres://admin:{drawn(10)}@db.internal:5432/prod",
    "redis": f"redis://:{drawn(12)}@cache:6379/0",
    "git over HTTPS": f"git clone https://jane:{drawn(14)}@git.acme.io/x.git",
    "password": 'password = "S3cur3!pw9"',
    "password in JSON": "{'password': 'hunter2x9'}",
    "password variable": "DB_PASSWORD=Zx9!kfP2mq",
    "password in YAML": "password: Tr0ub4dor&3",
    "PGP": f"-----BEGIN PGP {'PRIVATE'} KEY BLOCK-----\n\nlQOYBF{drawn(60)}\n-----END PGP {'PRIVATE'} KEY BLOCK-----",
    "RSA": f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIE{drawn(60)}\n-----END RSA {'PRIVATE'} KEY-----",
    "Azure storage": f"AccountName=acme;AccountKey={drawn(86)}==;EndpointSuffix=core.windows.net",
    "Azure signature": f"https://acme.blob.core.windows.net/c?sv=2022-11-02&sig={drawn(43)}%3D",
    "Azure app": drawn(3) + "8Q~" + drawn(34),
    "npm": "npm_" + drawn(36),
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + drawn(80),
    "SendGrid": f"SG.{drawn(22)}.{drawn(43)}",
    "Twilio": "SK" + drawn(32, HEX),
    "Slack": f"xoxb-{drawn(12, DIGITS)}-{drawn(12, DIGITS)}-{drawn(24)}",
    "Slack webhook": f"https://hooks.slack.com/services/T{drawn(8, UPPER)}/B{drawn(10, UPPER)}/{drawn(24)}",
    "Hugging Face": "hf_" + drawn(34),
    "GitHub": "ghp_" + drawn(36),
    "GitHub fine-grained": f"github_pat_{drawn(22)}_{drawn(59)}",
    "GitLab": "glpat-" + drawn(20),
    "Stripe": "sk_live_" + drawn(24),
    "OpenAI": f"sk-{drawn(20)}T3BlbkFJ{drawn(20)}",
    "OpenAI project": f"sk-proj-{drawn(60)}_{drawn(30)}-{drawn(10)}",
    "DeepSeek": "sk-" + drawn(32, HEX),
    "OpenRouter": "sk-or-v1-" + drawn(64, HEX),
    "Anthropic": f"sk-ant-api03-{drawn(80)}-{drawn(8)}AA",
    "Groq": "gsk_" + drawn(52),
    "Google": "AIza" + drawn(35),
    "Google OAuth": "GOCSPX-" + drawn(28),
    "JWT": f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ{drawn(40)}.{drawn(43)}",
    "Discord": f"M{drawn(23)}.{drawn(6)}.{drawn(38)}",
    "Telegram": f"{drawn(10, '123456789')}:AA{drawn(33)}",
    "Mailgun": "key-" + drawn(32, HEX),
    "Mailchimp": drawn(32, HEX) + "-us12",
    "Heroku": "HRKU-" + drawn(60),
    "DigitalOcean": "dop_v1_" + drawn(64, HEX),
    "Shopify": "shpat_" + drawn(32, HEX),
    "Databricks": "dapi" + drawn(32, HEX),
    "named": f'api_key = "{drawn(32)}"',
    "named in JSON": f'{{"apiKey": "{drawn(40)}"}}',
    "header": f'curl -H "Authorization: Bearer {drawn(40)}"',
}
HARMLESS = [
    "sk-" + "x" * 24,
    "OPENAI_API_KEY=sk-your-api-key-here-please",
    "sk-folding-cube-container-animation",
    "AKIAIOSFODNN7" + "EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "md5 d41d8cd98f00b204e9800998ecf8427e",
    "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "id 123e4567-e89b-12d3-a456-426614174000",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==",
    'integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC"',
    'password = "your_password"',
    'password = os.environ["DB_PASSWORD"]',
    "Password: must contain at least 8 characters",
    'api_key = os.getenv("OPENAI_API_KEY")',
    'api_key="YOUR_API_KEY"',
    "postgres://user:password@localhost:5432/mydb",
    "https://$USER:$PASS@host/x",
    "git clone git@github.com:acme/x.git",
    "max_tokens: 1024",
    "the key to success: persistence",
    "Authorization: Bearer YOUR_TOKEN_HERE",
    'cache_key = "user_profile_settings_v2"',
    "secret_name: projects/my-project/secrets/db-password",
]


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_secrets_are_found(kind: str) -> None:
    text = f"Here it is:\n{PLANTED[kind]}\nThanks."
    found = find_secrets(text)
    assert found
    assert not any(text[span.start : span.end] in hide_secrets(text) for span in found)


@pytest.mark.parametrize("text", HARMLESS)
def test_placeholders_and_hashes_are_no_secrets(text: str) -> None:
    assert find_secrets(text) == []


PERSONAL = {
    "EMAIL": ["write to jane.doe+x@acme.co.uk", "mailto:bob@x.io", "jürgen.müller@beispiel.de"],
    "PHONE": [
        "call +44 20 7946 0958",
        "+49 (0)30 1234567",
        "0049 30 1234567",
        "(212) 555-0123",
        "212.555.0123",
        "1-800-555-0199",
        "020 7946 0958",
        "06 12 34 56 78",
        "030/12345678",
        "03-1234-5678",
        "手机：13812345678",
        "Mobile: 98765 43210",
    ],
    "SSN": ["SSN 123-45-6789", "my social security number is 123456789"],
    "IP_ADDRESS": ["from 93.184.216.34 at noon", "host 2606:2800:220:1:248:1893:25c8:1946"],
    "IBAN": ["to DE89 3704 0044 0532 0130 00 please", "gb82west12345698765432", "Fr14 2004 1010 0505 0001 3M02 606"],
    "CARD": ["4111 1111 1111 1111", "3782-822463-10005"],
}


@pytest.mark.parametrize(("label", "text"), [(label, text) for label, texts in PERSONAL.items() for text in texts])
def test_personal_data_is_found_by_its_kind(label: str, text: str) -> None:
    assert [span.label for span in find_personal(text)] == [label]


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:acme/x.git",
        "logo@2x.png",
        "npm i @types/node@18.0.0",
        "version 1.2.3.4",
        "v10.0.19041.1",
        "Chrome/120.0.6099.109",
        "192.168.1.1 and 127.0.0.1:8000",
        "gb82west12345698765433",
        "4111 1111 1111 1112",
        "order 1234567890123456",
        "2023-10-05 and 10.5.2024 12:30:45",
        "ISBN 978-3-16-148410-0",
        "3.14159265358979",
        "std::vector<int>::iterator",
        "00:1B:44:11:3A:B7",
        "1914-1918 and 1939-1945",
        "timestamp 1700000000",
        "-122.4194155, 37.7749295",
    ],
)
def test_numbers_that_are_nobodys_are_left_alone(text: str) -> None:
    assert find_personal(text) == []


def test_tool_calls_and_earlier_turns_are_searched() -> None:
    key = PLANTED["AWS id"]
    call = {"id": "1", "type": "function", "function": {"name": "store", "arguments": f'{{"key": "{key}"}}'}}
    asked = prompt("store it")
    found = secrets(asked, answer(asked, "").model_copy(update={"tool_calls": [call]}), PLAIN)
    assert found is not None and found.detail == "an AWS key id in the arguments of a tool call"
    turns = [
        Message(role="user", content="a"),
        Message(role="assistant", tool_calls=[call]),
        Message(role="user", content="b"),
    ]
    asked = Prompt.make(turns)
    assert "in the prompt" in str(secrets(asked, answer(asked, "done"), PLAIN))
    call["function"] = {"name": "mail", "arguments": {"to": "jane@acme.io"}}
    assert personal_data(asked, answer(asked, "").model_copy(update={"tool_calls": [call]}), PLAIN)


def test_one_value_has_one_placeholder_in_a_row() -> None:
    asked = prompt(
        "I am Jane@acme.io, not bob@acme.io. Password: Tr0ub4dor&3", reference="jane@acme.io", group="jane@acme.io"
    )
    reply = answer(asked, "Sent to jane@acme.io with Tr0ub4dor&3; +44 20 7946 0958 or +442079460958.")
    (question, replied), counts, _ = mask(Pair(asked, reply), ["secrets", "personal_data"])
    assert question.messages[0].text == "I am <EMAIL_1>, not <EMAIL_2>. Password: <PASSWORD_1>"
    assert replied.text == "Sent to <EMAIL_1> with <PASSWORD_1>; <PHONE_1> or <PHONE_1>."
    assert counts == {"EMAIL": 2, "PASSWORD": 1, "PHONE": 1}
    assert question.reference == "<EMAIL_1>" and str(question.group).startswith("group_")
    assert (question.id, replied.id) == (asked.id, reply.id)
    assert mask(Pair(asked, reply), []).pair == (asked, reply)


@pytest.mark.parametrize("text", [*PLANTED.values(), *(text for texts in PERSONAL.values() for text in texts)])
def test_masked_text_has_nothing_left_to_mask(text: str) -> None:
    asked = prompt(f"First {text}\nthen {text}, and more.")
    (question, _), counts, _ = mask(Pair(asked, answer(asked, f"So {text}!")), ["secrets", "personal_data"])
    assert counts
    assert find_secrets(question.messages[0].text) == [] == find_personal(question.messages[0].text)


def test_other_spellings_of_a_masked_value_are_masked() -> None:
    asked = prompt("Call (212) 555-0123 or write to Jane@acme.io, SSN 123-45-6789, host 93.184.216.34.")
    reply = answer(asked, "2125550123, 212 555 0123, JANE@ACME.IO, 123456789 and 93.184.216.34, not 93184216.")
    masked = mask(Pair(asked, reply), ["personal_data"]).pair.answer.text
    assert masked == "<PHONE_1>, <PHONE_1>, <EMAIL_1>, <SSN_1> and <IP_ADDRESS_1>, not 93184216."


def test_what_was_masked_is_in_no_file(tmp_path: Path) -> None:
    key, mail = PLANTED["OpenAI project"], "jane.doe@acme.io"
    prompts = [prompt(f"Question {i} about {mail} and {key}", fields={"customer": mail}) for i in range(8)]
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"to": mail, "n": [1, None]}}}
    answers = [
        answer(p, f"Take {key} and then write to {mail} today. " * (60 if i == 3 else 1)) for i, p in enumerate(prompts)
    ]
    answers[5] = answers[5].model_copy(update={"tool_calls": [call], "text": "", "reasoning": f"tell {mail}"})
    project = project_with(tmp_path, prompts, answers)
    section = CurateConfig(
        test=2,
        mask=["secrets", "personal_data"],
        near_duplicates=None,
        reasoning="full",
        filters=["default", "-tool_calls"],
    )
    result = run(project, section)
    assert result.masked == {"API_KEY": 8, "EMAIL": 8} and set(result.dropped) == {"repetition"}
    written = "".join(path.read_text(encoding="utf-8") for path in project.evidence.parent.rglob("*.json*"))
    assert key not in written and mail not in written and '"<EMAIL_1>"' in written
    assert '"masked":{"API_KEY":1,"EMAIL":1}' in project.evidence.read_text(encoding="utf-8").replace(" ", "")


def test_what_a_person_writes_is_masked_like_its_row(tmp_path: Path) -> None:
    asked, other = prompt("Who is jane@acme.io?"), prompt("Where is bob@acme.io?")
    given, dropped = answer(asked, "My boss."), answer(other, "Here.")
    project = project_with(tmp_path, [asked, other], [given, dropped])
    marks = [
        Mark(
            answer_id=given.id, prompt_id=asked.id, mark="edited", text="Ask Jane@acme.io or tom@acme.io.", created="t"
        ),
        Mark(answer_id=dropped.id, prompt_id=other.id, mark="bad", reason="bob@acme.io has left", created="t"),
    ]
    write_records(project.marks, marks)
    run(project, CurateConfig(test=0, validation=0, mask=["personal_data"]))
    (row,) = read_examples(project.split("train"))
    assert row.answer == "Ask <EMAIL_1> or <EMAIL_2>."
    written = [project.split("train"), project.dropped, project.evidence]
    assert "acme" not in "".join(path.read_text(encoding="utf-8") for path in written)


def test_no_reason_quotes_a_secret(tmp_path: Path) -> None:
    key = PLANTED["GitHub"]
    asked, other = prompt("Which key?"), prompt("Which way?")
    project = project_with(tmp_path, [asked, other], [answer(asked, f"It is {key}. " * 30), answer(other, "Left.")])
    run(project, CurateConfig(test=0, validation=0))
    written = project.dropped.read_text(encoding="utf-8") + project.evidence.read_text(encoding="utf-8")
    assert key[:12] not in written
