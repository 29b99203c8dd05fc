"""Sources of the signal: this process, the cache, a server; the student's own texts; a teacher with another tokenizer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.errors import UserError
from distil.models.load import load, load_tokenizer
from distil.records import Answer, Message, Prompt, Sampling
from distil.runs.jsonl import read_examples, write_records
from distil.train import setup, stage
from distil.train.config import TeacherShare
from distil.train.examples import Tokenized
from distil.train.rollouts import Rollouts, unanswered
from distil.train.signal.crosstokenizer import CrossTokenizerSource, same_text_spans
from distil.train.signal.server import Address, top_k_of_rows
from distil.train.signal.setup import same_tokenizer
from distil.train.signal.sources import OnlineSource
from tests.tiny import CORPUS, tiny_model, tiny_tokenizer, write_tiny_splits
from tests.train.conftest import Bench
from tests.train.test_stage import lines, quick


def losses(bench: Bench, name: str) -> list[float]:
    return [line["loss"] for line in lines(bench, name) if "loss" in line]


# ---- the cache


def cached(bench: Bench, **settings: Any) -> None:
    from distil.signals import stage as signals
    from distil.signals.config import SignalsConfig

    signals.build(bench.project, SignalsConfig(**settings), teacher=bench.teacher.model, student=bench.student)


@pytest.mark.parametrize(
    ("settings", "tolerance"), [({"kind": "hidden", "dtype": "float16"}, 2e-2), ({"kind": "top_k", "k": 300}, 2e-2)]
)
def test_a_full_cache_trains_as_the_teacher_does(bench: Bench, settings: dict[str, Any], tolerance: float) -> None:
    cached(bench, **settings)
    section = quick(method="logits", epochs=1)
    stage.run(bench.project, section, bench.student, name="online", teacher=bench.teacher)
    stage.run(bench.project, section.model_copy(update={"signal": "cached"}), bench.student, name="cached")
    assert losses(bench, "cached") == pytest.approx(losses(bench, "online"), rel=tolerance)


def test_a_sampled_cache_serves_forward_kl_at_its_temperature(bench: Bench) -> None:
    cached(bench, kind="stratified", temperature=2.0)
    section = quick(method="logits", signal="cached", distill_weight=1.0, label_weight=0.0, epochs=4)
    stage.run(bench.project, section, bench.student, name="stratified")
    found = losses(bench, "stratified")
    assert sum(found[-3:]) < sum(found[:3])  # the same draws in every epoch
    for changes, says in (({"divergence": "reverse_kl"}, "forward_kl"), ({"temperature": 3.0}, r"holds temperature 2")):
        with pytest.raises(UserError, match=says):
            stage.run(bench.project, section.model_copy(update=changes), bench.student, name="x")


def test_a_cache_for_other_tokens_or_another_template_is_refused(bench: Bench, own_student: Path) -> None:
    section = quick(method="logits", signal="cached")
    with pytest.raises(UserError, match="holds no cached distributions"):
        stage.run(bench.project, section, bench.student, name="x")
    cached(bench, kind="top_k", k=8)
    template = own_student / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another #}")
    other = bench.student.model_copy(update={"model": str(own_student)})
    with pytest.raises(UserError, match="another chat template"):
        stage.run(bench.project, section, other, name="x")
    with pytest.raises(UserError, match="other token ids"):
        stage.run(bench.project, section.model_copy(update={"target": "reference"}), bench.student, name="x")
    with pytest.raises(UserError, match="holds the fixed answers only"):
        stage.run(bench.project, section.model_copy(update={"method": "on_policy"}), bench.student, name="x")


# ---- a server


@contextmanager
def served(model: Any, answer: Any) -> Iterator[str]:
    """A server that scores and completes with a real model; `answer(model, path, body)` writes its wire format."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = answer(model, self.path, body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def scores(model: Any, ids: list[int], k: int) -> list[Any]:
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    rows: list[Any] = [None]
    for row, actual in zip(logprobs[:-1], ids[1:], strict=True):
        best, found = row.topk(k).indices.tolist(), row.tolist()
        rows.append({token: found[token] for token in dict.fromkeys([*best, actual])})  # the actual token comes on top
    return rows


def vllm(model: Any, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    if path != "/v1/completions" or body["model"] != "m":
        return 404, {"error": {"message": f"The model `{body.get('model')}` does not exist.", "code": 404}}
    choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length"}
    if body.get("prompt_logprobs"):
        rows = scores(model, body["prompt"], body["prompt_logprobs"])
        choice["prompt_logprobs"] = [
            row and {str(i): {"logprob": p, "rank": 1, "decoded_token": "?"} for i, p in row.items()} for row in rows
        ]
    if body.get("return_token_ids"):
        choice["token_ids"] = [5, 6, 7, 2]
    return 200, {"object": "text_completion", "choices": [choice]}


def sglang(model: Any, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    assert path == "/generate" and body["return_logprob"] and body["logprob_start_len"] == 0
    rows = scores(model, body["input_ids"], body["top_logprobs_num"])
    found = [row and [[p, i, None] for i, p in row.items()] for row in rows]
    return 200, {"text": "", "meta_info": {"input_top_logprobs": found}}


@pytest.mark.parametrize(("wire", "address"), [(vllm, "{}/v1#m"), (sglang, "sglang+{}")])
def test_a_server_with_a_large_k_equals_the_teacher(bench: Bench, wire: Any, address: str) -> None:
    write_tiny_splits(bench.project, train=4)
    section = quick(method="logits", epochs=1, temperature=1.0, server_top_k=310, validation_examples=0, batch_size=2)
    stage.run(bench.project, section, bench.student, name="online", teacher=bench.teacher)
    model = load(bench.teacher.model.removeprefix("local/"), device="cpu").model
    with served(model, wire) as url:
        changes = {"signal": "server", "server": address.format(url)}
        stage.run(
            bench.project, section.model_copy(update=changes), bench.student, name="server", teacher=bench.teacher
        )
    assert losses(bench, "server") == pytest.approx(losses(bench, "online"), rel=1e-2)


def test_a_server_refuses_other_temperatures_and_models(bench: Bench) -> None:
    """The server's own message is shown."""
    section = quick(method="logits", signal="server", server="http://127.0.0.1:9/v1#m")
    with pytest.raises(UserError, match="at temperature 1"):
        stage.run(bench.project, section, bench.student, name="x")
    with served(tiny_model(), vllm) as url:
        wrong = section.model_copy(update={"temperature": 1.0, "server": f"{url}/v1#other"})
        with pytest.raises(UserError, match="does not exist"):
            stage.run(bench.project, wrong, bench.student, name="x")
    with pytest.raises(UserError, match="expected http://HOST"):
        Address.parse("localhost:8000")


def test_server_rows_keep_the_actual_token_and_the_tail_mass() -> None:
    targets = top_k_of_rows([{3: -0.5, 9: -1.5}, {4: -0.1}], 2, torch.device("cpu"))
    assert targets.ids.tolist() == [[3, 9], [4, -1]]
    mass = targets.log_probs.exp().sum(-1) + targets.log_tail.exp()
    torch.testing.assert_close(mass, torch.ones(2))


# ---- the student's own texts


def test_on_policy_learns_from_what_the_student_writes(bench: Bench) -> None:
    section = quick(
        method="on_policy", divergence="reverse_kl", on_policy_share=1.0, rollout_tokens=8, epochs=2, temperature=1.0
    )
    result = stage.run(bench.project, section, bench.student, name="on_policy", teacher=bench.teacher)
    found = [line for line in lines(bench, "on_policy") if "loss" in line]
    assert result.steps == 6 and all(line["loss"] == pytest.approx(line["distill"], rel=1e-4) for line in found)
    held_out = [line["eval_distill"] for line in lines(bench, "on_policy") if "eval_distill" in line]
    assert held_out[-1] < held_out[0]


def test_on_policy_without_rollouts_is_plain_distillation(bench: Bench) -> None:
    for name, changes in (("logits", {"method": "logits"}), ("none", {"method": "on_policy", "on_policy_share": 0.0})):
        stage.run(bench.project, quick(epochs=1, **changes), bench.student, name=name, teacher=bench.teacher)
    assert losses(bench, "logits") == losses(bench, "none")


def test_rollouts_depend_on_seed_and_step() -> None:
    """A rollout keeps no label of the old answer."""
    examples = [Tokenized(f"e{i}", [1, 2, 3, 8, 9], [-100, -100, -100, 8, 9], 3) for i in range(40)]

    def write(prompts: list[list[int]], sampling: Sampling, seed: int) -> list[list[int]]:
        assert all(prompt == [1, 2, 3] for prompt in prompts)
        return [[50, 51, 52] if number else [] for number, _ in enumerate(prompts)]

    rollouts = Rollouts(write, share=0.5, sampling=Sampling(), context=None, seed=0)
    fixed, written = rollouts(examples, step=4)
    assert 10 < len(written) < 30 and len(fixed) + len(written) == 40
    assert all(e.input_ids == [1, 2, 3, 50, 51, 52] and e.labels == [-100] * 3 + [50, 51, 52] for e in written)
    assert rollouts(examples, step=4) == (fixed, written) != rollouts(examples, step=5)


def test_the_student_answers_unanswered_training_prompts(bench: Bench) -> None:
    """Prompts of the test side are left out."""
    asked = [Message(role="user", content=f"My order {number} is late") for number in range(6)]
    held_out = next(read_examples(bench.project.split("test")))
    prompts = [Prompt.make([message]) for message in asked]
    prompts[1] = prompts[1].model_copy(update={"split": "test"})
    prompts[2] = Prompt.make(held_out.prompt_messages)
    said = {"teacher": "t", "sampling": Sampling(), "text": "", "finish_reason": "stop", "call_id": "c"}
    answer = Answer(id="a", prompt_id=prompts[3].id, **said)
    write_records(bench.project.prompts, prompts)
    write_records(bench.project.answers, [answer])
    tokenizer = load_tokenizer(bench.student.model)
    found = unanswered(bench.project, tokenizer, 256)
    assert [e.id for e in found] == [prompts[number].id for number in (0, 4, 5)]
    rollouts = Rollouts(lambda p, s, n: [[7]] * len(p), share=0.0, sampling=Sampling(), context=256, seed=0)
    fixed, written = rollouts(found, step=0)
    assert not fixed and len(written) == 3 and all(e.learned == 1 and e.messages for e in written)
    section = quick(method="on_policy", epochs=1, rollout_unanswered=True)
    result = stage.run(bench.project, section, bench.student, name="more", teacher=bench.teacher)
    assert result.examples == 12 + 3


def test_a_served_student_writes_the_rollouts(bench: Bench) -> None:
    with served(tiny_model(), vllm) as url:
        section = quick(method="on_policy", on_policy_share=1.0, epochs=1, rollout_server=f"{url}/v1#m")
        stage.run(bench.project, section, bench.student, name="served", teacher=bench.teacher)
    assert all(loss > 0 for loss in losses(bench, "served"))


# ---- another tokenizer


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """A teacher with another tokenizer."""
    tokenizer = tiny_tokenizer(280, corpus=("angry refund order intent", *CORPUS[::-1]))
    tiny_model(len(tokenizer), hidden=48, seed=5).save_pretrained(tmp_path / "stranger")
    tokenizer.save_pretrained(tmp_path / "stranger")
    return str(tmp_path / "stranger")


@pytest.mark.parametrize("method", ["bytes", "spans", "uld"])
def test_a_teacher_with_another_tokenizer_teaches(bench: Bench, stranger: str, method: str) -> None:
    assert not same_tokenizer(load_tokenizer(bench.student.model), load_tokenizer(stranger))
    section = quick(
        method="logits", cross_tokenizer=method, teachers=[TeacherShare(model=stranger)], distill_weight=1.0, label_weight=0.0,
        epochs=3, temperature=1.0,
    )  # fmt: skip
    stage.run(bench.project, section, bench.student, name=method)
    held_out = [line["eval_distill"] for line in lines(bench, method) if "eval_distill" in line]
    assert held_out[-1] < held_out[0]


def test_on_policy_works_across_tokenizers(bench: Bench, stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher reads the student's own texts, never the fixed answers."""
    read: list[str] = []
    original = CrossTokenizerSource._compute

    def noting(self: CrossTokenizerSource, sides: Any) -> Any:
        read.extend(self.teacher.tokenizer.decode(side.input_ids) for side in sides)
        return original(self, sides)

    monkeypatch.setattr(CrossTokenizerSource, "_compute", noting)
    section = quick(method="on_policy", on_policy_share=1.0, cross_tokenizer="bytes", epochs=2, temperature=1.0)
    section = section.model_copy(update={"teachers": [TeacherShare(model=stranger)], "validation_examples": 0})
    stage.run(bench.project, section, bench.student, name="own", teacher=bench.teacher)
    answers = {example.answer for example in read_examples(bench.project.split("train"))}
    assert len(read) >= 24  # before the first step the self-check looks at fixed answers
    assert not any(answer in text for text in read[-24:] for answer in answers)
    assert all(loss > 0 for loss in losses(bench, "own"))


@pytest.mark.parametrize(
    ("ours", "theirs", "groups"),
    [
        ([b"an", b"swer", b""], [b"answ", b"er", b""], [(0, 2, 0, 2), (2, 3, 2, 3)]),
        ([b"an", b"swer", b""], [b" ", b"answer", b""], [(0, 2, 0, 2), (2, 3, 2, 3)]),  # SentencePiece's first blank
        ([b"an", b"swer", b""], [b" an", b"swer", b""], [(0, 1, 0, 1), (1, 2, 1, 2), (2, 3, 2, 3)]),
        ([b"yes", b" <m>", b"no", b""], [b"yes", b" ", b"", b"no", b""], [(0, 1, 0, 1)]),  # a mark of one side alone
        ([b"yes", b"\n", b""], [b"yes", b""], [(0, 1, 0, 1)]),  # a template that cut the last line end
    ],
)
def test_only_tokens_with_the_same_bytes_are_compared(
    ours: list[bytes], theirs: list[bytes], groups: list[tuple[int, ...]]
) -> None:
    spans = same_text_spans(ours, theirs)
    assert [(*a, *b) for a, b in zip(spans.student.tolist(), spans.teacher.tolist(), strict=True)] == groups


def test_a_padded_vocabulary_counts_as_the_same_tokenizer(bench: Bench, tmp_path: Path) -> None:
    tiny_model(352, hidden=48, seed=1).save_pretrained(tmp_path / "padded")
    tiny_tokenizer().save_pretrained(tmp_path / "padded")
    section = quick(method="logits", epochs=1, teachers=[TeacherShare(model=str(tmp_path / "padded"))])
    result = stage.run(bench.project, section, bench.student, name="padded")
    assert any("320 shared ids (student 320, teacher 352)" in check for check in result.facts["checks"])


@pytest.mark.parametrize("stranger_teaches", [False, True])
def test_querying_the_teacher_ahead_changes_nothing(
    bench: Bench, stranger: str, stranger_teaches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:

    counts: list[int] = []
    source: Any = CrossTokenizerSource if stranger_teaches else OnlineSource
    original = source._compute

    def counting(self: Any, texts: Any, *rest: Any) -> Any:
        counts.append(len(texts if stranger_teaches else texts.examples))
        return original(self, texts, *rest)

    monkeypatch.setattr(source, "_compute", counting)
    section = quick(method="logits", epochs=2)
    if stranger_teaches:
        section = section.model_copy(update={"cross_tokenizer": "spans", "teachers": [TeacherShare(model=stranger)]})
    stage.run(bench.project, section, bench.student, name="once", teacher=bench.teacher)
    assert sum(counts) == 12 + 4  # every training and validation example, once
    monkeypatch.setattr(setup, "CPU_CACHE_BYTES", 0)
    monkeypatch.setattr(setup, "GPU_CACHE_BYTES", 0)
    stage.run(bench.project, section, bench.student, name="always", teacher=bench.teacher)
    assert losses(bench, "once") == pytest.approx(losses(bench, "always"), rel=1e-4)
