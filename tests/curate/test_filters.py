"""Each filter drops what it is for, and leaves what only looks like it."""

from __future__ import annotations

import pytest

from distil.curate.evidence.corpus import Corpus, describe_corpus
from distil.curate.evidence.filters import DEFAULT, choose_filters
from distil.errors import UserError
from tests.curate.material import answer, objection, prompt

PLAIN = Corpus(json_share=0.0, same_script_share=1.0, answers=100)
JSON = Corpus(json_share=0.97, same_script_share=1.0, answers=100)


def verdict(
    name: str, text: str, *, asked: str = "question", corpus: Corpus = PLAIN, finish: str = "stop"
) -> str | None:
    question = prompt(asked)
    return objection(name, question, answer(question, text, finish=finish), corpus)


def test_truncated_answers_are_dropped() -> None:
    assert "raise max_tokens" in str(verdict("truncated", "and then", finish="length"))
    assert verdict("truncated", "done.") is None


def test_empty_answers_are_dropped_unless_they_call_a_tool() -> None:
    assert verdict("empty", " \n")
    question = prompt("q")
    calls = answer(question, "").model_copy(update={"tool_calls": [{"id": "1"}]})
    assert objection("empty", question, calls, PLAIN) is None


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I have no opinion.",
        "I can't help with that.",
        "I’m sorry, but I can’t assist with this request.",
        "I am unable to provide medical advice.",
    ],
)
def test_refusals_are_dropped(text: str) -> None:
    assert verdict("refusal", text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't help but notice how good this is.",
        "As an AI engineer you will need Python.",
        "Sorry for the delay: your parcel left yesterday.",
        "A long answer. " * 30 + "The bot said: I can't help with that.",
    ],
)
def test_text_that_only_resembles_a_refusal_is_kept(text: str) -> None:
    assert verdict("refusal", text) is None


def test_content_filtered_by_the_provider_is_a_refusal() -> None:
    assert "content_filter" in str(verdict("refusal", "part", finish="content_filter"))


@pytest.mark.parametrize(
    "text",
    ["intro words first " + "we will call you back soon " * 12, "the " * 40, "ha" * 100],
)
def test_loops_are_dropped(text: str) -> None:
    assert "over and over" in str(verdict("repetition", text))


@pytest.mark.parametrize(
    "text",
    [
        "-" * 200,
        "| a | b |\n|---|---|\n" + "".join(f"| {i} | {i * i} |\n" for i in range(40)),
        "Row, row, row your boat gently down the stream, merrily, merrily, merrily, merrily, life is but a dream for all.",
        " ".join(f"Step {i}: do thing {i}." for i in range(30)),
    ],
)
def test_tables_rules_and_lists_are_not_loops(text: str) -> None:
    assert verdict("repetition", text) is None


def test_another_script_is_dropped_only_where_unusual() -> None:
    asked = "Where is the parcel that I ordered last week?"
    russian = "Ваша посылка прибудет завтра утром, спасибо за ожидание."
    assert "Cyrillic" in str(verdict("wrong_script", russian, asked=asked))
    assert verdict("wrong_script", russian, asked=asked, corpus=PLAIN._replace(same_script_share=0.4)) is None
    assert verdict("wrong_script", "Сегодня", asked=asked) is None


def test_prose_is_dropped_where_json_is_expected() -> None:
    assert "97%" in str(verdict("invalid_json", "It is a refund.", corpus=JSON))
    assert verdict("invalid_json", '{"intent": "refund"}', corpus=JSON) is None
    assert verdict("invalid_json", "It is a refund.") is None
    asked = prompt("q", response_format={"type": "json_object"})
    assert objection("invalid_json", asked, answer(asked, '{"a": NaN}'), PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "use sk-proj-" + "a1B2" * 8,
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "ghp_" + "a" * 36,
        "eyJhbGciOiJIUzI1." + "eyJzdWIiOiIxMjM0." + "SflKxwRJSMeKKF2QT4",
    ],
)
def test_secrets_are_dropped_without_being_repeated(text: str) -> None:
    reason = str(verdict("secrets", text))
    assert "in the answer" in reason and text not in reason
    assert "in the prompt" in str(verdict("secrets", "ok", asked=text))


def test_personal_data_is_an_optional_filter() -> None:
    assert "personal_data" not in DEFAULT
    assert verdict("secrets", "write to jane@example.com, order 4111111111111111") is None
    assert "e-mail" in str(verdict("personal_data", "write to jane@example.com"))
    assert "card" in str(verdict("personal_data", "my card 4111 1111 1111 1111"))
    assert verdict("personal_data", "order 4111 1111 1111 1112") is None
    assert "IBAN" in str(verdict("personal_data", "to DE89 3704 0044 0532 0130 00 please"))
    assert "phone" in str(verdict("personal_data", "call +44 20 7946 0958"))


def test_an_unknown_filter_suggests_the_closest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'refusal'"):
        choose_filters(["refusals"])


def test_the_corpus_counts_json_and_scripts() -> None:
    question = prompt("Tell me about the weather in London, please")
    pairs = [
        (question, answer(question, text)) for text in ('{"a": 1}', "[1]", "3", "a plain English sentence of letters")
    ]
    corpus = describe_corpus(pairs)
    assert (corpus.json_share, corpus.same_script_share, corpus.answers) == (0.5, 1.0, 4)
