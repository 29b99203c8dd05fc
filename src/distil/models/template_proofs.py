"""Proofs on the user's own chat template and conversations, in milliseconds, before anything is trained.

The trained prompt is what will be asked, exactly the answer and its end are learned and would be read as that answer, tools reach
the prompt, and the saved template gives the same bytes on another day. Proofs on the model itself are in proofs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from distil.errors import UserError
from distil.models.answer import ends_in_thinking, model_answer
from distil.models.generate import Generation
from distil.models.render import prompt_text, render_prompt, render_rows, special_ids
from distil.models.template import Turn, prepared
from distil.models.tool_format import call_format
from distil.models.turns import squeezed
from distil.records import Message
from distil.thinking import part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Conversation = tuple[Sequence[Message], list[Turn] | None]
"""Messages that end with an answer, and the tool definitions."""


class TemplateProof(NamedTuple):
    """One proof and what it found."""

    name: str
    ok: bool
    detail: str
    """For a person."""


def prove_template(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> list[TemplateProof]:
    """All proofs on some of the user's conversations; a conversation that can't be rendered is a failed proof."""
    asked, learned = [], []
    rows = 0
    for messages, tools in conversations:
        try:
            for row in render_rows(tokenizer, messages, tools=tools):
                rows += 1
                prompt = messages[: max(row.answers, default=len(messages) - 1)]
                answer = messages[max(row.answers, default=len(messages) - 1)]
                ids = render_prompt(tokenizer, prompt, tools=tools, thinks=bool(answer.reasoning_content))
                if row.ids[: row.prompt_length] != ids:
                    asked.append(f"after {str(tokenizer.decode(row.ids[: row.prompt_length]))[-40:]!r}")
                learned += _wrongly_learned(tokenizer, answer, ids, row.ids[row.prompt_length : row.end])
        except UserError as error:
            asked.append(str(error))
    proofs = [
        TemplateProof(
            "the trained prompt is the asked prompt", not asked, "; ".join(asked[:2]) or f"{rows} rows, id for id"
        ),
        TemplateProof("the answer and its end are learned", not learned, "; ".join(learned[:2]) or _end(tokenizer)),
        TemplateProof("the template shows no other date tomorrow", *_same_tomorrow(tokenizer)),
    ]
    with_tools = [(messages, tools) for messages, tools in conversations if tools]
    return [*proofs, _tools(tokenizer, with_tools)] if with_tools else proofs


def _wrongly_learned(
    tokenizer: PreTrainedTokenizerBase, answer: Message, prompt: Sequence[int], ids: Sequence[int]
) -> list[str]:
    """What is wrong with the learned tokens of an answer: they must end it, and read as it when the student generates them."""
    text = squeezed(str(tokenizer.decode(list(ids))))
    if not ids or ids[-1] not in special_ids(tokenizer):
        return [f"no control token ends {text[-40:]!r}"]
    if squeezed(answer.text) not in text:
        return [f"{text[:40]!r} is not the answer"]
    if answer.tool_calls:
        return []
    spoken = str(tokenizer.decode(list(ids), skip_special_tokens=True))
    thinks = ends_in_thinking(tokenizer, prompt)
    read = model_answer(tokenizer, Generation(spoken, list(ids), [], [], "stop"), None, in_thinking=thinks).text
    if squeezed(read) == squeezed(part(answer.text).text):
        return []
    begins = spoken.partition(answer.text.strip())[0] or spoken
    return [
        f"a student that answers as it is taught is read as {read[:40]!r}: the chat template begins the answer with "
        f"{begins[:40]!r} (set student.chat_template to one that does not)"
    ]


def _end(tokenizer: PreTrainedTokenizerBase) -> str:
    hello = [Message(role="user", content="Hello"), Message(role="assistant", content="Good day")]
    try:
        row = render_rows(tokenizer, hello)[-1]
    except UserError:
        return "each ends with a control token"
    return f"each ends with {tokenizer.decode(row.ids[row.end - 1 : row.end])}"


def _same_tomorrow(tokenizer: PreTrainedTokenizerBase) -> tuple[bool, str]:
    fixed = "strftime_now" not in prepared(tokenizer)
    return (
        fixed,
        "no call of the clock" if fixed else "it calls the clock, so a resumed training would have other prompts",
    )


def _tools(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> TemplateProof:
    name = "tools reach the prompt"
    for messages, tools in conversations:
        names = [str((tool.get("function") or tool).get("name")) for tool in tools or []]
        try:
            text = prompt_text(tokenizer, messages[:-1], tools=tools)
        except UserError as error:
            return TemplateProof(name, False, str(error))
        if missing := [tool for tool in names if tool not in text]:
            return TemplateProof(name, False, f"{missing[0]} is not in the prompt")
    form = call_format(tokenizer)
    unknown = "their form is not known here: an evaluation reads calls as text"
    read = f"read as {type(form).__name__}" if form is not None else unknown
    return TemplateProof(name, True, f"{len(conversations)} conversations, {read}")
