"""Public reports of chat templates and vocabularies: what a student learns is what it is asked with."""

from __future__ import annotations

import pytest
import torch

from distil.models.render import render_prompt, render_rows
from distil.objectives import fused_linear_distillation
from distil.objectives.targets import LogitTargets
from distil.objectives.vocabulary import teacher_mass_outside
from distil.records import Message
from tests.models.miniatures import MINIATURES
from tests.models.test_template_matrix import CALL, TOOLS, learned_texts, prepared_tokenizer, said

QWEN = MINIATURES["qwen-3"]


@pytest.mark.parametrize("thinking", [None, False])
def test_no_empty_think_block_is_learned(thinking: bool | None) -> None:
    """public-bugs 1: LLaMA-Factory #9392 (Qwen3 fine-tuned on plain answers writes `<think></think>` before its JSON)."""
    args = {} if thinking is None else {"enable_thinking": thinking}
    tokenizer = prepared_tokenizer(QWEN.text, QWEN.end, **args)
    messages = [said("user", "Where is order 17?"), said("assistant", '{"intent": "delivery"}')]
    (learned,) = learned_texts(tokenizer, messages)
    assert "think" not in learned and learned.strip().startswith('{"intent"')
    (row,) = render_rows(tokenizer, messages)
    asked = render_prompt(tokenizer, messages[:1])
    assert list(row.ids[: len(asked)]) == asked  # an empty block, where there is one, is part of the question


def test_the_last_answer_of_several_turns_is_trained() -> None:
    """public-bugs 2: OpenRLHF #1080 (user, assistant, user, assistant on Qwen3: a wrong mask, or a crash)."""
    tokenizer = prepared_tokenizer(QWEN.text, QWEN.end)
    messages = [said("user", "hi"), said("assistant", "first"), said("user", "more"), said("assistant", "second")]
    texts = learned_texts(tokenizer, messages)
    assert "second" in texts[-1] and "more" not in "".join(texts) and "think" not in "".join(texts)
    weighted = [messages[0], messages[1].model_copy(update={"weight": 0}), *messages[2:]]
    assert "first" not in "".join(learned_texts(tokenizer, weighted))


def test_arguments_as_json_text_are_rendered() -> None:
    """public-bugs 25: Qwen3 #1894 (tool_calls[].function.arguments as a JSON string, as OpenAI has them)."""
    tokenizer = prepared_tokenizer(QWEN.text, QWEN.end)
    answer = Message(role="assistant", tool_calls=[CALL])
    (learned,) = learned_texts(tokenizer, [said("user", "hi"), answer], tools=TOOLS)
    assert '"city"' in learned and '\\"city' not in learned


def test_a_wider_teacher_is_compared_where_both_have_ids() -> None:
    """public-bugs 26: autocontext PR#1050 (teacher logits 152,064 wide, the student 151,936: shapes did not match)."""
    torch.manual_seed(0)
    teacher, student, hidden = 152_064, 151_936, 8
    logits = torch.randn(2, teacher)
    logits[:, student:] = -torch.inf  # padding
    states, weight = torch.randn(2, hidden, requires_grad=True), torch.randn(student, hidden, requires_grad=True)
    labels = torch.tensor([3, 5])
    loss = fused_linear_distillation(states, weight, LogitTargets(logits), labels, temperature=2.0)
    wanted = torch.log_softmax(states @ weight.T / 2.0, -1), torch.softmax(logits[:, :student] / 2.0, -1)
    kl = (torch.xlogy(wanted[1], wanted[1]) - wanted[1] * wanted[0]).sum() * 4.0
    torch.testing.assert_close(loss.distill, kl, rtol=1e-4, atol=1e-3)
    assert float(teacher_mass_outside(LogitTargets(logits), student).max()) == 0.0
