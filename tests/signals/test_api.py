"""A cache out of an API's top_logprobs: exact where the tokens agree, hard labels and counts where they don't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distil.calls.identity import call_key
from distil.calls.ledger.store import Ledger, Recorded
from distil.errors import UserError
from distil.models.config import StudentConfig
from distil.models.load import load
from distil.models.render import render
from distil.models.token_bytes import bytes_of_ids
from distil.records import Answer, Sampling, Usage
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_examples, write_records
from distil.runs.signals.store import SignalStore
from distil.signals import stage
from distil.signals.config import SignalsConfig
from tests.tiny import save_tiny, write_tiny_splits

TEACHER = "http://127.0.0.1:8000/v1#open-teacher"
SECTION = SignalsConfig(kind="top_k")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("teacher"), seed=3))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    write_tiny_splits(made, train=3, validation=1)
    return made


def entry(token: bytes, log_prob: float) -> dict[str, Any]:
    return {"token": token.decode("utf-8", "replace"), "bytes": list(token), "logprob": log_prob}


def reply_of(model: str, messages: list[Any], *, stray: bytes | None = None) -> tuple[bytes, torch.Tensor]:
    """A chat completion in OpenAI's wire format with 20 alternatives a token, and the distributions it came from."""
    loaded = load(model)
    of_ids = bytes_of_ids(loaded.tokenizer)
    token_ids, mask = render(loaded.tokenizer, messages)
    places = [t - 1 for t in range(1, len(token_ids)) if mask[t]]
    with torch.inference_mode():
        log_p = torch.log_softmax(loaded.model(torch.tensor([token_ids])).logits[0, places], -1)
    content = []
    for row, place in list(zip(log_p, places, strict=True))[:-1]:  # the end-of-turn token is not reported
        drawn = token_ids[place + 1]
        best = row.topk(20)
        top = [entry(of_ids[i], v) for v, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]
        if stray is not None:
            top[19] = entry(stray, top[19]["logprob"])
        content.append({**entry(of_ids[drawn], float(row[drawn])), "top_logprobs": top})
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": messages[-1].text},
                "logprobs": {"content": content},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": len(content), "total_tokens": 9 + len(content)},
    }
    return json.dumps(body).encode(), log_p


def answer_all(project: Project, replies: dict[str, bytes]) -> None:
    """Puts raw replies into the ledger and the answers that point at them into work/collect."""
    answers = []
    with Ledger(project.ledger) as ledger:
        for answer_id, reply in replies.items():
            key = call_key(TEACHER, {"asked": answer_id})
            ledger.record([Recorded(key, "collect", TEACHER, b"{}", reply, Usage())])
            answers.append(
                Answer(
                    id=answer_id,
                    prompt_id=answer_id.replace("answer", "prompt"),
                    teacher=TEACHER,
                    sampling=Sampling(top_logprobs=20),
                    text="",
                    finish_reason="stop",
                    call_id=key,
                )
            )
    write_records(project.answers, answers)


def examples(project: Project) -> list[Any]:
    return [e for split in ("train", "validation") for e in read_examples(project.split(split))]


def build(project: Project, model: str, section: SignalsConfig = SECTION) -> stage.BuildResult:
    return stage.build(project, section, teacher=TEACHER, student=StudentConfig(model=model))


def test_alternatives_become_exact_rows_with_a_tail(project: Project, model: str) -> None:
    made = {e.answer_id: reply_of(model, e.messages) for e in examples(project)}
    answer_all(project, {answer_id: reply for answer_id, (reply, _) in made.items()})
    result = build(project, model)
    rows = result.tokens
    assert result.notes["replies_with_alternatives"] == 4
    assert (result.notes["soft_tokens"], result.notes["hard_tokens"]) == (rows - 4, 4)
    example = examples(project)[1]
    stored = SignalStore.open(project.signals).read([example.id], temperature=1.0)
    p = made[example.answer_id][1].exp().numpy()
    assert stored.ids is not None and stored.log_probs is not None and stored.log_tail is not None
    assert stored.entropy is not None
    kept = np.where(stored.ids >= 0, np.exp(stored.log_probs), 0)
    expected = np.take_along_axis(p, np.maximum(stored.ids, 0), axis=1) * (stored.ids >= 0)
    np.testing.assert_allclose(kept[:-1], expected[:-1], rtol=2e-3)
    np.testing.assert_allclose(np.exp(stored.log_tail[:-1]), 1 - expected[:-1].sum(1), rtol=2e-3)
    token_ids, _ = render(load(model).tokenizer, example.messages)
    assert set(stored.ids[-1][stored.ids[-1] >= 0]) == {load(model).tokenizer.eos_token_id}
    assert kept[-1].max() == 1 and np.exp(stored.log_tail[-1]) == 0  # the end of the answer is a hard label
    assert np.isnan(stored.entropy[0]) and stored.entropy[-1] == 0
    assert token_ids[-2] == load(model).tokenizer.eos_token_id
    with pytest.raises(UserError, match="holds temperature 1; training needs 2"):
        SignalStore.open(project.signals).allow(divergence="forward_kl", temperature=2.0)


def test_alternatives_that_the_student_lacks_go_to_the_tail(project: Project, model: str) -> None:
    made = {e.answer_id: reply_of(model, e.messages, stray=b"no such token") for e in examples(project)}
    answer_all(project, {answer_id: reply for answer_id, (reply, _) in made.items()})
    result = build(project, model)
    assert result.notes["alternatives_moved_to_the_tail"] == result.notes["soft_tokens"]


def test_an_unusable_reply_keeps_its_hard_labels(project: Project, model: str) -> None:
    first, second, third, fourth = examples(project)
    good, _ = reply_of(model, first.messages)
    body = json.loads(reply_of(model, second.messages)[0])
    body["choices"][0]["logprobs"]["content"][0] = {**entry(b'{"in', -0.1), "top_logprobs": []}
    silent = json.loads(good)
    silent["choices"][0]["logprobs"] = None
    replies = {first.answer_id: good, second.answer_id: json.dumps(body).encode()}
    answer_all(project, {**replies, third.answer_id: json.dumps(silent).encode()})
    notes = build(project, model).notes
    assert (notes["replies_with_alternatives"], notes["replies_in_other_tokens"]) == (1, 1)
    assert notes["replies_without_logprobs"] == 2  # one says nothing, the fourth example has no answer of this teacher
    store = SignalStore.open(project.signals)
    hard = store.read([second.id, fourth.id], temperature=1.0)
    assert hard.ids is not None and hard.ids.shape[1] == 1


def test_an_api_that_cannot_serve_is_refused_with_the_cure(project: Project, model: str) -> None:
    with pytest.raises(UserError, match=r"Set signals.kind: top_k"):
        build(project, model, SignalsConfig(kind="sampled"))
    with pytest.raises(UserError, match=r"Set student.model"):
        stage.build(project, SECTION, teacher=TEACHER, student=None)
    silent = json.loads(reply_of(model, examples(project)[0].messages)[0])
    silent["choices"][0]["logprobs"] = None
    answer_all(project, {e.answer_id: json.dumps(silent).encode() for e in examples(project)})
    for _ in range(2):  # a refusal leaves nothing behind that a second run would take for done
        with pytest.raises(UserError, match=r"None of the 4 stored replies.*top_logprobs: 20"):
            build(project, model)
