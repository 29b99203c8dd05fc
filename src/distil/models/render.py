"""The only place where messages become tokens: chat template -> (token ids, answer mask).

A row is the prompt exactly as the model is asked (generation prompt, thinking off or on) and then the answer as the template
writes it, up to and including the token that ends the turn. So the trained prompt is the asked prompt, byte for byte and id for
id. Answers whose context is the start of a later row share that row; where a template renders earlier turns differently each
answer has a row of its own. What can't be located is a loud error, never a silent guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from distil.errors import UserError
from distil.models.chat_template import PROBE_TEXT, ChatTemplate, chat_template
from distil.models.template import PLAIN_CLOSING, PLAIN_OPENING, Turn
from distil.models.turns import Chat, as_turns, require_calls_shown, require_shown, short, squeezed
from distil.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_OPEN = r"(?:<think>|<seed:think>|\[THINK\]|<\|START_THINKING\|>|<\|channel>thought)"
_CLOSE = r"(?:</think>|</seed:think>|\[/THINK\]|<\|END_THINKING\|>|<channel\|>|<\|channel\|>final<\|message\|>)"
_PROMPTED = re.compile(rf"(?:{_OPEN}\s*)?(?:{_CLOSE}\s*)?\Z")
_EMPTY_BLOCK = re.compile(rf"\s*{_OPEN}\s*{_CLOSE}\n*")
_OPENED_ONLY = re.compile(rf"\s*{_OPEN}\s*")


class Rendered(NamedTuple):
    """One conversation as the model sees it."""

    input_ids: list[int]
    """Token ids of the whole conversation."""
    answer_mask: list[bool]
    """Same length: true where the token is the assistant's and is learned."""

    @property
    def labels(self) -> list[int]:
        """The ids where they are learned, -100 elsewhere; not shifted (objectives.next_token_rows shifts)."""
        return [token if learned else -100 for token, learned in zip(self.input_ids, self.answer_mask, strict=True)]


class Row(NamedTuple):
    """One row of training: a conversation up to an answer."""

    rendered: Rendered
    """Its tokens, and which of them are learned."""
    prompt_length: int
    """Tokens before the last answer: what the model is asked with."""
    answers: tuple[int, ...]
    """Which messages are learned, by their index in the conversation."""

    @property
    def ids(self) -> list[int]:
        """Token ids of the row."""
        return self.rendered.input_ids

    @property
    def end(self) -> int:
        """One after the last learned token."""
        return max((i for i, learned in enumerate(self.rendered.answer_mask) if learned), default=-1) + 1


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Chat,
    *,
    tools: list[Turn] | None = None,
    max_length: int | None = None,
) -> Rendered:
    """The row of a conversation's last answer, with the earlier answers that share it.

    Assistant turns with `weight: 0` are context only. Raises UserError when the last turn isn't the assistant's, when the
    answer can't be located, or when the conversation is longer than `max_length` tokens.
    """
    rendered = render_rows(tokenizer, messages, tools=tools)[-1].rendered
    if max_length is not None and len(rendered.input_ids) > max_length:
        raise UserError(f"A conversation has {len(rendered.input_ids)} tokens, more than the {max_length} allowed.")
    return rendered


def render_rows(
    tokenizer: PreTrainedTokenizerBase, messages: Chat, *, tools: list[Turn] | None = None, one_answer: bool = False
) -> list[Row]:
    """All rows that teach the answers of a conversation, the last answer's last. one_answer: never two answers in a row."""
    template = chat_template(tokenizer)
    turns, weights = as_turns(template, messages, tools)
    if not turns or turns[-1]["role"] != "assistant":
        raise UserError("A conversation to learn from must end with an assistant turn (the answer); this one does not.")
    learned = [i for i, turn in enumerate(turns) if turn["role"] == "assistant" and weights[i]]
    offset = len(messages) - len(turns)  # system turns that went into a user turn
    rows: list[Row] = []
    for index in reversed(learned or [len(turns) - 1]):
        mode = template.with_thinking(on=bool(turns[index].get("reasoning_content")))
        ids, start, end = _row(tokenizer, mode, turns[: index + 1], tools)
        mask = [start <= i < end and index in learned for i in range(len(ids))]
        row = Row(Rendered(ids, mask), start, (index + offset,) if index in learned else ())
        if rows and not one_answer and rows[0].ids[:end] == ids[:end]:
            rows[0] = _joined(rows[0], row)
        else:
            rows.insert(0, row)
    return rows


def render_prompt(
    tokenizer: PreTrainedTokenizerBase,
    messages: Chat,
    *,
    tools: list[Turn] | None = None,
    for_teacher: bool = False,
    thinks: bool | None = None,
) -> list[int]:
    """Token ids of a conversation up to the start of the answer (with the generation prompt).

    for_teacher: with the instructions that `student.prompt` hides from the student; thinks: as it is asked when it is to think
    first, or not to (None: as the template says).
    """
    return _ids(tokenizer, prompt_text(tokenizer, messages, tools=tools, for_teacher=for_teacher, thinks=thinks))


def prompt_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Chat,
    *,
    tools: list[Turn] | None = None,
    for_teacher: bool = False,
    thinks: bool | None = None,
) -> str:
    """The text that `render_prompt` turns into tokens. Raises UserError for what the template can't show."""
    template = chat_template(tokenizer, for_teacher=for_teacher)
    if thinks is not None:
        template = template.with_thinking(on=thinks)
    turns, _ = as_turns(template, messages, tools)
    asked = template.ask(turns, tools)
    require_shown(template, asked, turns)
    return asked


def row_messages(messages: Sequence[Message], row: Row) -> tuple[Message, ...]:
    """The conversation that a row teaches: up to its last answer, the answers of other rows as context."""
    end = max(row.answers, default=len(messages) - 1) + 1
    return tuple(
        m.model_copy(update={"weight": 0}) if m.role == "assistant" and i not in row.answers else m
        for i, m in enumerate(messages[:end])
    )


def row_id(example_id: str, number: int) -> str:
    """The id of an example's row, counted from its last answer (0), which has the example's own id."""
    return example_id if number == 0 else f"{example_id}/{number}"


def _joined(row: Row, earlier: Row) -> Row:
    """A row that teaches the answers of an earlier one, whose tokens it begins with, too."""
    ids, mask = row.rendered
    both = [*earlier.rendered.answer_mask[: earlier.end], *mask[earlier.end :]]
    return Row(Rendered(ids, both), row.prompt_length, (*earlier.answers, *row.answers))


def _row(
    tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, turns: list[Turn], tools: list[Turn] | None
) -> tuple[list[int], int, int]:
    """(ids, start, end): the last turn's prompt as it is asked, its answer in start:end with its end token, what follows that."""
    context, turn = turns[:-1], turns[-1]
    if not turn.get("content") and not turn.get("tool_calls"):
        raise UserError("An answer has neither text nor tool calls: there is nothing to learn from it.")
    asked = template.ask(context, tools)
    require_shown(template, asked, context)
    answer = _answer(template, asked, turns, tools)
    _check_kept(template, answer, turn)
    answer, after = _until_end(tokenizer, template, answer)
    prompt = _ids(tokenizer, asked)
    ids = _with_answer(tokenizer, asked, prompt, answer, turn)
    if len(ids) == len(prompt):
        raise UserError("An answer is empty once rendered by the chat template: there is nothing to learn from it.")
    if ids[-1] not in special_ids(tokenizer):
        ids.append(int(tokenizer.eos_token_id))
        after = ""
    end = len(ids)
    if after:  # never generated and never learned, but part of what the template writes
        together = _ids(tokenizer, asked + answer + after)
        ids = together if together[:end] == ids else ids + _ids(tokenizer, after)
    return ids, len(prompt), end


def answer_text(template: ChatTemplate, turns: list[Turn], tools: list[Turn] | None) -> str:
    """What the model has to write for the last turn, with all that the template writes after it. Raises UserError."""
    return _answer(template, template.ask(turns[:-1], tools), turns, tools)


def _answer(template: ChatTemplate, asked: str, turns: list[Turn], tools: list[Turn] | None) -> str:
    """What the model has to write after `asked` for this turn, as its template writes it."""
    turn = turns[-1]
    reasoning = turn.get("reasoning_content")
    prompted = _PROMPTED.search(asked)
    block = prompted.group() if prompted else ""
    if reasoning and re.search(_CLOSE, block):
        raise UserError(_drops_reasoning())
    if reasoning and not template.shows_thinking:
        before = f"{PLAIN_OPENING}{str(reasoning).strip()}{PLAIN_CLOSING}"
        turns = [*turns[:-1], {**turn, "content": before + str(turn.get("content") or "")}]
    whole = template.whole(turns, tools)
    header = asked.removesuffix(block)
    if whole.startswith(asked):
        answer = whole[len(asked) :]
        if block and not re.search(_CLOSE, block) and not reasoning:
            raise UserError(_no_reasoning())
    elif whole.startswith(header) and (block or not header):
        if not re.search(_CLOSE, block):
            raise UserError(_drops_reasoning() if reasoning else _no_reasoning())
        answer = whole[len(header) :]
    elif (start := _start_elsewhere(template, asked, header, turns, tools)) and whole.startswith(start):
        answer = whole[len(start) :]
    elif marked := template.marked(turns, tools):
        answer = marked[-1]
    else:
        raise UserError(
            f"The answer in turn {len(turns)} can't be located: after {short(asked[-60:])}, with which the model is asked, the "
            "chat template writes something else once the answer is there. Set student.chat_template to a template whose "
            "generation prompt is what it writes before an answer (a .jinja file, or one of Distil's own)."
        )
    if reasoning and not template.shows_thinking and block and (again := _OPENED_ONLY.match(answer)):
        answer = answer[again.end() :]  # Nemotron Nano 2 opens it in the prompt and in front of every answer
    empty = _EMPTY_BLOCK.match(answer)
    if empty and not reasoning and not _EMPTY_BLOCK.match(str(turn.get("content") or "")):
        answer = answer[len(block) :] if block and answer.startswith(block) else answer[empty.end() :]
    elif not reasoning and re.search(_CLOSE, block) and not re.search(_CLOSE, answer):
        # Nemotron Nano 2 shows every answer as a thought that never ends; what is asked has ended the thinking already.
        opened = _OPENED_ONLY.match(answer)
        if opened and not _OPENED_ONLY.match(str(turn.get("content") or "")):
            answer = answer[opened.end() :]
    return answer


def _start_elsewhere(
    template: ChatTemplate, asked: str, header: str, turns: list[Turn], tools: list[Turn] | None
) -> str:
    """What stands before the answer, where a template shows an earlier turn differently once it is there (Mistral shows the
    system text with the last turn only); "" unless it ends as the prompt does, from the last text on."""
    last = str(turns[-2].get("content") or "").strip() if len(turns) > 1 else ""
    probe = template.whole([*turns[:-1], {"role": "assistant", "content": PROBE_TEXT}], tools)
    before = probe.rpartition(PROBE_TEXT)[0]
    start = _PROMPTED.sub("", template.generation_prompt)
    if start and before.endswith(start) and header.endswith(start):
        return before
    if not last or last not in before:
        return ""
    end = before.rpartition(last)[2]
    for text in (asked, header):
        known = text.rpartition(last)[2]
        if last in text and end.startswith(known):
            return before[: len(before) - len(end) + len(known)]
    return ""


def _check_kept(template: ChatTemplate, shown: str, turn: Turn) -> None:
    """The text must contain the answer unchanged, except for spaces and line breaks, which templates trim, and all its calls."""
    wanted, reasoning = str(turn.get("content") or ""), str(turn.get("reasoning_content") or "")
    flat = squeezed(shown)
    if squeezed(wanted) not in flat:
        raise UserError(
            f"The chat template changes the answer: it shows {short(shown)}, and the answer is {short(wanted)}. The student "
            "would learn another text than the teacher's. Give the tokenizer a template that shows the assistant's content as it "
            "is (some drop reasoning in <think> tags: leave that out of the answers, or use a template that keeps it)."
        )
    if squeezed(reasoning) not in flat:
        raise UserError(_drops_reasoning())
    require_calls_shown(template, shown, turn.get("tool_calls") or [])


def _until_end(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, answer: str) -> tuple[str, str]:
    """The answer up to and including the token that ends its turn, and what the template writes after it."""
    ends = special_tokens(tokenizer)
    tail = template.tail
    first = _first(tail, ends)
    while first and (more := next((t for t in ends if tail.startswith(t, first[1])), None)):
        if not template.inner_tail.startswith(tail[: first[1] + len(more)]):
            break  # only at the end of a conversation: not a part of the turn
        first = (first[0], first[1] + len(more))
    if tail and answer.endswith(tail):
        cut = len(answer) - len(tail) + (first[1] if first else 0)
        return answer[:cut], answer[cut:]
    run: list[int] = []  # where each control token at the very end stops, the last one first
    end = len(answer.rstrip())
    while (token := next((t for t in ends if answer.endswith(t, 0, end)), None)) is not None:
        if first and tail[first[0] : first[1]].endswith(token):
            run = []
        run.append(end)
        end = len(answer[: end - len(token)].rstrip())
    return (answer[: run[0]], answer[run[0] :]) if run else (answer, "")


def _first(text: str, tokens: Sequence[str]) -> tuple[int, int] | None:
    """Start and end of the first of these tokens in the text."""
    found = [(at, -len(token)) for token in tokens if (at := text.find(token)) >= 0]
    start, size = min(found) if found else (0, 0)
    return (start, start - size) if found else None


def _with_answer(
    tokenizer: PreTrainedTokenizerBase, asked: str, prompt: list[int], answer: str, turn: Turn
) -> list[int]:
    """The prompt's ids as they are asked, and then the answer's; control tokens that its text spells are plain text."""
    content = str(turn.get("content") or "")
    own = [content, str(turn.get("reasoning_content") or ""), str(turn.get("tool_calls") or "")]
    spelled = [token for token in special_tokens(tokenizer) if any(token in text for text in own)]
    if not spelled:
        together = _ids(tokenizer, asked + answer)
        return together if together[: len(prompt)] == prompt else prompt + _ids(tokenizer, answer)
    at = answer.rfind(content.strip())
    if any(token in text for token in spelled for text in own[1:]) or at < 0:
        raise UserError(
            f"An answer spells {spelled[0]}, a control token of the student, in its reasoning or its tool calls. There it would "
            "end the answer in the middle. Leave the example out, or write the token differently."
        )
    end = at + len(content.strip())
    middle = _plain_ids(tokenizer, answer[at:end], spelled[0])
    return prompt + _ids(tokenizer, answer[:at]) + middle + _ids(tokenizer, answer[end:])


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str, token: str) -> list[int]:
    """Ids of a text in which nothing is a control token. Raises UserError for a tokenizer that can't do so."""
    ids = list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    if special_ids(tokenizer) & set(ids):
        raise UserError(
            f"An answer spells {token}, a control token of the student, and its tokenizer can't write it as plain text: it would "
            "end the answer in the middle. Leave the example out, or write the token differently."
        )
    return ids


def _no_reasoning() -> str:
    return (
        "The student is asked with thinking on, but this answer has no reasoning: it would learn to think of nothing. Set "
        "student.template_args: {enable_thinking: false}, or curate.reasoning: full for a teacher that shows its reasoning."
    )


def _drops_reasoning() -> str:
    return (
        "The chat template drops the answer's reasoning (reasoning_content), so it would not be learned. Set "
        "student.chat_template to one that shows it (deepseek-r1 or chatml with student.template_args: {enable_thinking: true}), "
        "or curate.reasoning: drop."
    )


_SPECIAL: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[frozenset[int], tuple[str, ...]]] = (
    WeakKeyDictionary()
)  # asking a tokenizer costs more than rendering


def _special(tokenizer: PreTrainedTokenizerBase) -> tuple[frozenset[int], tuple[str, ...]]:
    if tokenizer not in _SPECIAL:
        marked = {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        ids = frozenset([*marked, *tokenizer.all_special_ids])
        texts = {*marked.values(), *map(str, tokenizer.all_special_tokens)}
        _SPECIAL[tokenizer] = ids, tuple(sorted((t for t in texts if t), key=len, reverse=True))
    return _SPECIAL[tokenizer]


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of all control tokens of a tokenizer: they can end a turn and are never part of the text."""
    return _special(tokenizer)[0]


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The control tokens as text, the longest first."""
    return _special(tokenizer)[1]


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
