"""Texts that the student writes itself, for on-policy distillation (GKD, Agarwal et al. 2024): lambda is the share of them.

The teacher then corrects the mistakes that the student really makes. Which examples are rolled out depends on (seed, step,
example) alone, so that a resume repeats it. Not the loss: a rollout gets the same divergence as a fixed answer, without
cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from distil.ids import drawn
from distil.models.chat_template import chat_template
from distil.models.generate import generate
from distil.models.load import Loaded
from distil.models.render import render_prompt
from distil.objectives.targets import IGNORED
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, read_records
from distil.text import prompt_key
from distil.train.examples import Tokenized
from distil.train.writing import AT_ONCE

Writer = Callable[[list[list[int]], Sampling, int], list[list[int]]]
"""(prompts, sampling, seed) -> token ids that continue each prompt."""
Together = Callable[[list[list[int]], list[list[int]], Sampling, int], list[list[int]]]
"""(the student's prompts, the teacher's, sampling, seed) -> token ids that both have written."""
Decoder = Callable[[list[int]], str]
"""Token ids of an answer -> its text without control tokens."""


class Rollouts:
    """Splits the examples of a step into fixed ones and those whose answer the student writes now."""

    def __init__(
        self,
        write: Writer,
        *,
        share: float,
        sampling: Sampling,
        context: int | None,
        seed: int,
        decode: Decoder | None = None,
        together: Together | None = None,
    ) -> None:
        """decode: adds the written text to the conversation, for a teacher with another tokenizer; together: writes instead of
        `write`, with the teacher's help."""
        self.together = together
        self.write, self.share, self.sampling = write, share, sampling
        self.context, self.seed, self.decode = context, seed, decode

    def __call__(self, examples: Sequence[Tokenized], step: int) -> tuple[list[Tokenized], list[Tokenized]]:
        """(fixed, written by the student); an empty text leaves its example fixed, or out where it has no answer."""
        chosen = [e for e in examples if self._is_rolled_out(e, step)]
        if not chosen:
            return [e for e in examples if e.learned], []
        prompts = [e.input_ids[: e.prompt_length] for e in chosen]
        seed = self._seed(step, chosen[0].id)
        if self.together is None:
            texts = self.write(prompts, self.sampling, seed)
        else:
            asked = [list(e.teacher_prompt or e.input_ids[: e.prompt_length]) for e in chosen]
            texts = self.together(prompts, asked, self.sampling, seed)
        written = [rollout(e, text, self.decode) for e, text in zip(chosen, texts, strict=True) if text]
        replaced = {example.id for example in written}
        return [e for e in examples if e.learned and e.id not in replaced], written

    def _is_rolled_out(self, example: Tokenized, step: int) -> bool:
        if self.context is not None and example.prompt_length >= self.context:
            return False
        return not example.learned or self._seed(step, example.id) / (1 << 56) < self.share

    def _seed(self, step: int, example_id: str) -> int:
        return drawn(f"{self.seed}/{step}/{example_id}", 7)


def unanswered(project: Project, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[Tokenized]:
    """Prompts of the project without an answer, as examples without a learned token until the student writes theirs.

    Left out: prompts that a teacher has answered (even if curate dropped the answer), prompts that the user assigned to test or
    validation, prompts with the group or text of a curated test or validation example, and those that fill the context. Unlike
    in curate, similarity does not count: a near-duplicate of a test prompt is included.
    """
    answered = {row.prompt_id for row in read_records(project.answers, Answer)} if project.answers.exists() else set()
    held_out = [
        e for side in ("test", "validation") if project.split(side).exists() for e in read_examples(project.split(side))
    ]
    groups = {e.group for e in held_out if e.group is not None}
    texts = {prompt_key(e.prompt_messages) for e in held_out}
    examples = []
    two_prompts = chat_template(tokenizer).prompt is not None
    for prompt in read_records(project.prompts, Prompt):
        for_training = (
            prompt.split in (None, "train") and prompt.group not in groups and prompt_key(prompt.messages) not in texts
        )
        if prompt.id in answered or not for_training:
            continue
        ids = render_prompt(tokenizer, prompt.messages, tools=prompt.tools)
        if max_length is None or len(ids) < max_length:
            messages = tuple(prompt.messages)
            asked = render_prompt(tokenizer, messages, tools=prompt.tools, for_teacher=True) if two_prompts else None
            labels = [IGNORED] * len(ids)
            examples.append(Tokenized(prompt.id, ids, labels, len(ids), messages, prompt.tools, teacher_prompt=asked))
    return examples


def rollout(example: Tokenized, text: list[int], decode: Decoder | None) -> Tokenized:
    """The example with this text as its answer; decode: also in its conversation."""
    prompt = example.input_ids[: example.prompt_length]
    messages = example.messages[:-1] if example.learned else example.messages
    if decode is not None:  # earlier answers are context: a rollout does not learn them
        before = [m.model_copy(update={"weight": 0}) if m.role == "assistant" else m for m in messages]
        messages = (*before, Message(role="assistant", content=decode(text)))
    labels = [IGNORED] * len(prompt) + text
    return Tokenized(
        example.id,
        prompt + text,
        labels,
        len(prompt),
        messages,
        example.tools,
        teacher_prompt=example.teacher_prompt,
    )


def in_process(student: Loaded, batch_size: int = AT_ONCE) -> Writer:
    """Generates with the weights that are being trained."""

    def write(prompts: list[list[int]], sampling: Sampling, seed: int) -> list[list[int]]:
        answers = generate(student, prompts, sampling, batch_size=batch_size, seed=seed)
        return [answer.token_ids for answer in answers]

    return write
