"""The `curate` section of distil.yaml. The filters themselves are in evidence/filters.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from distil.calls.config import TeacherConfig
from distil.runs.section import Section

Reasoning = Literal["drop", "short", "full", "mix"]
Method = Literal["first", "majority", "agreement", "reference", "judge", "best", "all", "votes", "committee"]


class CurateConfig(Section):
    """Which answers are kept, and in which split."""

    filters: Literal["default"] | list[str] = "default"
    """What drops an answer, by name: default, or a list such as [default, personal_data, -refusal, "my_filters.py:too_formal"].

    default = truncated, empty, refusal, boilerplate, vendor_identity, repetition, wrong_script, wrong_language, invalid_json,
    schema, context (longer than the student reads), unfence, tool_calls, secrets. Optional: too_short and too_long (for their
    task), echo (of the prompt), personal_data, irrelevant (prompts that are not the task; needs distil[evaluate]). Two
    correct instead: boilerplate takes openings like `As an AI language model, ...` off, unfence the code fence around JSON. A
    minus takes one out; FILE.py:FUNCTION is a function of your own, of a prompt and an answer.
    """
    thresholds: dict[str, float] = Field(default_factory=dict)
    """From which value of its signal a filter drops an answer, such as {refusal: 0.8}.

    work/curate/evidence.jsonl has the values of all answers.
    """
    mask: list[Literal["secrets", "personal_data"]] = Field(default_factory=list)
    """What is replaced by placeholders such as <EMAIL_1>, in prompts and answers alike, before filters look: a row is kept so.

    secrets, personal_data (e-mail, phone, SSN, IP, IBAN, card). The filters of the same names drop the row instead.
    """
    near_duplicates: float | None = Field(default=0.85, ge=0.3, le=1.0)
    """Minimum Jaccard similarity of character 5-grams at which two texts count as the same; null = only equal texts do."""
    semantic_duplicates: float | None = Field(default=None, ge=0.8, le=1.0)
    """Minimum cosine of two prompts (MiniLM) at which a row with the same answer is redundant, too, such as 0.98; null = never.

    Needs `pip install 'distil[evaluate]'`.
    """
    semantic: float | None = Field(default=None, ge=0.5, le=1.0)
    """Minimum cosine of two prompts (MiniLM) at which they are kept on one side, such as 0.95; null = only characters count.

    Needs `pip install 'distil[evaluate]'`.
    """
    contamination: list[str] = Field(default_factory=list)
    """Files of benchmarks, in any format of prompts.path: training rows that repeat one of their questions are dropped."""
    validation: float = Field(default=0.2, ge=0, lt=1)
    """Share of the non-test prompts that becomes validation; unused when the prompts file marks validation prompts itself."""
    test: int = Field(default=200, ge=0)
    """Prompts held out for the evaluation; unused when the prompts file marks test prompts itself."""
    choose: Method = "first"
    """Which of several answers to train on. first: the first teacher's first. majority: one whose result (number, label, JSON)
    most answers share. agreement: of open texts the one closest in meaning to the others. reference: one that is the prompt's
    reference, else none. judge: the one that `judge` scores highest. best: by reference, else judge, else majority, else first.
    all: every different one (train.answers). votes: every one, equal ones too, so that a label weighs as much as teachers give
    it. committee: one on which at least `agree` answers agree, else none. Validation and test have one answer, chosen without
    reference or judge."""
    agree: int | None = Field(default=None, ge=2)
    """With choose: committee, how many of a prompt's answers must come to the same for it to be trained on; null = more than half
    of the committee (teachers x collect.samples). With a tie between two results none is."""
    references: Literal["right", "unchecked"] | None = None
    """What the prompts' references are. right: correct answers, to compare with. unchecked: labels of a log that nobody checked;
    they are in no row, and a committee's report says how often it contradicts them. null = unchecked with choose: committee, else
    right."""
    judge: TeacherConfig | None = None
    """The model that scores answers for `choose: judge` and `best`, such as {model: anthropic/claude-sonnet-4-5}; null = for
    `judge` evaluate.judge, for `best` none. Better not the one that evaluates: the student learns what it likes."""
    judge_rubric: str | list[str] | None = None
    """What it scores by, as evaluate.judge_rubric; null = that one, or a general one."""
    budget_usd: float | None = Field(default=5.0, ge=0)
    """Dollar cap for this project on the judge's scores; null = no cap."""
    if_refused: Literal["other", "leave_out"] = "leave_out"
    """With choose: first, when the first teacher refuses a prompt: leave it out, or train on another teacher's answer if it is a
    real one. Another's refusal, or its words about itself, never take the place of an answer, however it is chosen."""
    contradictions: Literal["majority", "first", "drop", "keep"] = "majority"
    """What happens to rows that ask the same and come to different labels, numbers or JSON: those of the majority stay (of a tie,
    the first), those of the first row stay, none stays, or all do."""
    reasoning: Reasoning = "drop"
    """What is learned of the teacher's thinking (`reasoning_content`). drop: nothing, the answers alone. full: the whole of it.
    short: what has at most `reasoning_tokens`, of equal answers to a prompt the shortest; longer thinking is left out, never cut.
    mix: all of it for `reasoning_share` of the prompts, for the others as short. All but drop need a student that thinks:
    student.template_args: {enable_thinking: true}; a mix also teaches one that does not."""
    reasoning_tokens: int = Field(default=512, ge=0)
    """The longest thinking that short and mix call short, in tokens (an estimate that needs no tokenizer); 0 = none is."""
    reasoning_share: float = Field(default=0.2, gt=0, lt=1)
    """The share of prompts whose whole thinking a mix keeps: one in five (Li and others, 2502.12143). By the prompt's id, so that
    more data and another seed move none. With reasoning_tokens: 0 the others are trained on as answers alone."""
    keep: int | None = Field(default=None, ge=1)
    """Training rows to keep: those that cover the others best; null = all. The rest is in dropped.jsonl."""
    balance: Literal["label", "cluster"] | None = None
    """Keep equally many training rows of each label (answer) or of each topic of the prompts.

    With curate.keep small groups stay whole and the others share what is left equally; without it none keeps more rows than the
    median group has. Topics are clusters of embeddings, which need distil[evaluate].
    """
    keep_by: Literal["text", "meaning"] = "text"
    """What makes rows similar for keep: their characters, or embeddings, which are better but need distil[evaluate] and time."""
    seed: int = 0
    """Another seed draws another split. With the same one a prompt keeps its side, whatever is added to the data or removed."""

    @property
    def references_unchecked(self) -> bool:
        """Whether references are only what a log said."""
        return (self.references or ("unchecked" if self.choose == "committee" else "right")) == "unchecked"

    @model_validator(mode="after")
    def _something_to_choose_by(self) -> Self:
        if self.choose == "reference" and self.references == "unchecked":
            raise ValueError(
                "curate.choose is reference, which keeps the answers that are the reference, and curate.references says that "
                "nobody checked those. Set curate.references: right, or curate.choose: committee"
            )
        return self

    @field_validator("choose", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        if value == "score":
            raise ValueError(
                "`score` is called `judge` now. Set curate.choose: judge, and name a judge in curate.judge"
            )
        return value

    @field_validator("reasoning", mode="before")
    @classmethod
    def _was_a_switch(cls, value: object) -> object:
        """true and false, as this key was first written."""
        return reasoning_word(value)


OF_A_CHOICE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "agree": ("choose", ("committee",)),
    "if_refused": ("choose", ("first",)),
    "judge": ("choose", ("judge", "best")),
    "judge_rubric": ("choose", ("judge", "best")),
    "reasoning_tokens": ("reasoning", ("short", "mix")),
    "reasoning_share": ("reasoning", ("mix",)),
}
"""Settings that not every choice uses -> (the choice, those of its values that use them)."""


def without_effect(section: CurateConfig) -> list[str]:
    """What to say of settings that were chosen and that nothing uses: a line for each."""
    said = []
    for key, (choice, users) in OF_A_CHOICE.items():
        chosen = getattr(section, key) != CurateConfig.model_fields[key].default
        value = getattr(section, choice)
        if chosen and value not in users:
            said.append(
                f"no effect with curate.{choice}: {value}: curate.{key}. It is for curate.{choice}: {' or '.join(users)}"
            )
    return said


def reasoning_word(value: object) -> object:
    """A value of `curate.reasoning` in today's words: true is full, false is drop."""
    return {True: "full", False: "drop"}[value] if isinstance(value, bool) else value
