"""Prompts with the student's answers and its confidence in each: what a calibration is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from distil.endings import ending
from distil.records import Example, Prediction, Sampling, Usage
from distil.serve.calibration.acceptance import Given, Rule, Similarity, bad_answers
from distil.serve.wire import ChatReply, ChatRequest

TEMPERATURE = 0.0  # the gateway's default: what is calibrated is what is served


class Scored(NamedTuple):
    """Prompts with their reference answers, the student's answers and its confidence in each."""

    examples: list[Example]
    answers: list[ChatReply]
    scores: list[float]

    def judged(self, rule: Rule, similarity: Similarity | None) -> tuple[Scored, list[bool]]:
        """(the answers that can be judged, whether each is bad). Raises UserError."""
        bad = bad_answers(rule, self.given(), similarity)
        kept = self.only([value is not None for value in bad])
        return kept, [bool(value) for value in bad if value is not None]

    def given(self) -> list[Given]:
        """The answers as a rule sees them."""
        return [
            Given(example, answer.text, answer.tool_calls or (), ending(answer.finish_reason) not in ("cut", "fault"))
            for example, answer in zip(self.examples, self.answers, strict=True)
        ]

    def only(self, keep: Sequence[bool]) -> Scored:
        """A part of the rows."""
        rows = [row for row, kept in enumerate(keep) if kept]
        return Scored(
            [self.examples[row] for row in rows],
            [self.answers[row] for row in rows],
            [self.scores[row] for row in rows],
        )

    def at_least(self, threshold: float) -> list[int]:
        """Rows of the answers that the student gives itself."""
        return [row for row, score in enumerate(self.scores) if score >= threshold]

    def teacher_bad(self, rule: Rule) -> list[bool]:
        """Whether the teacher's own answer to each prompt is bad; never, where it is the measure."""
        if rule.by != "reference":
            return [False] * len(self.examples)
        given = [Given(e, e.answer, e.messages[-1].tool_calls or ()) for e in self.examples]
        return [bool(bad) for bad in bad_answers(rule, given, lambda a, b: [1.0] * len(a))]

    @property
    def groups(self) -> list[str | None]:
        """Group of each prompt."""
        return [example.group for example in self.examples]


def as_reply(prediction: Prediction) -> ChatReply:
    """A kept answer of the student as the reply that it was."""
    return ChatReply(
        prediction.text,
        prediction.finish_reason,
        Usage(output_tokens=prediction.output_tokens),
        tool_calls=prediction.tool_calls,
        token_logprobs=prediction.token_logprobs,
        token_entropies=prediction.token_entropies,
    )


def as_request(example: Example, max_tokens: int) -> ChatRequest:
    """The request of a client that sends a labeled prompt and names no sampling."""
    return ChatRequest(
        "student",
        example.prompt_messages,
        Sampling(temperature=TEMPERATURE, max_tokens=max_tokens),
        tools=example.tools,
        tool_choice=example.tool_choice,
        response_format=example.response_format,
    )
