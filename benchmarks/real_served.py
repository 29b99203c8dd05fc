"""A student behind llama.cpp and vLLM: its prompts' token ids, its answers, `distil calibrate`, and the gateway in front."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from real_bench import Bench, Json, command, settings
from real_lab import MAX_TOKENS, ask, choice, llamacpp_server, prompt_ids, vllm_server

ENGINES = ("llamacpp", "vllm")
CHECKED = 20  # test prompts that are asked one by one
SERVING = re.compile(rb"Serving (http://\S+)/v1#")


def serve_by(bench: Bench, project: Path, student: str, engines: Sequence[str]) -> None:
    """All that is measured of one student behind each engine."""
    for engine in engines:
        key = f"{project.name}/{student}/{engine}"
        if not bench.has(f"{key}/same", f"{key}/evaluate", f"{key}/calibrate", f"{key}/gateway"):
            with _engine(bench, project, student, engine) as url:
                _measure(bench, project, student, engine, url)


def _measure(bench: Bench, project: Path, student: str, engine: str, url: str) -> None:
    key, where, here = f"{project.name}/{student}/{engine}", f"{url}/v1#{student}", ["--project", str(project)]
    rule = settings(serve__engine=where)
    free = f"[{{model: {where!r}, price: {{input: 0, output: 0}}}}]"
    given = ["--answers", where, "--as", engine, *settings(evaluate__limit=CHECKED, evaluate__candidates=free)]
    bench.step(f"{key}/same", lambda: _same(project, student, url, engine))
    bench.step(f"{key}/evaluate", lambda: command("evaluate", *given, *here))
    bench.step(f"{key}/calibrate", lambda: command("calibrate", student, *rule, *here))
    bench.step(f"{key}/gateway", lambda: _gateway(project, student, rule))


def _engine(bench: Bench, project: Path, student: str, engine: str) -> AbstractContextManager[str]:
    log = bench.folder / f"{engine}.log"
    if engine == "llamacpp":
        return llamacpp_server(bench.lab, project / f"{student}-q8_0.gguf", log, threads=bench.threads)
    return vllm_server(bench.lab, project / f"{student}-folder", student, log, threads=bench.threads)


def test_examples(project: Path) -> list[Json]:
    """Test prompts with the teacher's answer, as curate wrote them."""
    lines = (project / "work" / "curate" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:CHECKED]]


def _same(project: Path, student: str, url: str, engine: str) -> Json:
    """How many test prompts are the same token ids there, and how many greedy answers the same text, as in this process."""
    from distil.models.load import load_tokenizer
    from distil.models.render import render_prompt
    from distil.records import Message

    tokenizer = load_tokenizer(str(project / "work" / "train" / student / "model"))
    lines = (project / "work" / "evaluate" / student / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    answers = {row["prompt_id"]: row for row in rows if row["model"] == student}
    ids_same, gaps, texts = 0, [], []
    examples = test_examples(project)
    for example in examples:
        turns, ours = example["messages"][:-1], answers[example["metadata"]["prompt_id"]]
        rendered = render_prompt(tokenizer, [Message.model_validate(turn) for turn in turns])
        ids_same += rendered == prompt_ids(url, engine, student, turns)
        theirs = choice(ask(f"{url}/v1", student, turns, logprobs=True))
        texts.append(theirs["message"]["content"] == ours["text"])
        gaps.append(abs(ours["token_logprobs"][0] - theirs["logprobs"]["content"][0]["logprob"]))
    return {
        "prompts": len(examples), "prompts_same": ids_same,
        "answers": len(examples), "answers_same": sum(texts), "logprob_apart": max(gaps),
    }  # fmt: skip


def _gateway(project: Path, student: str, rule: Sequence[str]) -> Json:
    """Every test prompt through the calibrated gateway; then the first one as a stream and as a longer conversation."""
    counts = {"student": 0, "teacher": 0}
    right = 0
    examples = test_examples(project)
    with gateway(project, student, rule) as base:
        for example in examples:
            turns = example["messages"]
            by, text = routed(base, student, turns[:-1])
            counts[by] += 1
            right += text.strip().lower() == turns[-1]["content"].strip().lower()
    with gateway(project, student, [*rule, *settings(serve__fallback="off")]) as base:
        turns = examples[0]["messages"][:-1]
        whole = choice(ask(base, student, turns))["message"]
        longer = choice(ask(base, student, [*turns, whole, {"role": "user", "content": "And again?"}]))
        return {
            "asked": len(examples), **counts, "right": right,
            "stream_same": streamed(base, student, turns) == whole["content"], "longer": bool(longer["message"]["content"]),
        }  # fmt: skip


def routed(base: str, name: str, messages: Sequence[Json]) -> tuple[str, str]:
    """(who answered, the answer) of a gateway."""
    body = {"model": name, "messages": list(messages), "max_tokens": MAX_TOKENS}
    request = urllib.request.Request(
        f"{base}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:
        answer = json.loads(reply.read())
        return str(reply.headers["x-distil-answered-by"]), str(choice(answer)["message"]["content"])


def streamed(base: str, name: str, messages: Sequence[Json]) -> str:
    """The text of a greedy answer that comes as server-sent events."""
    body = {"model": name, "messages": list(messages), "temperature": 0, "max_tokens": MAX_TOKENS, "stream": True}
    request = urllib.request.Request(
        f"{base}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    pieces, done = [], False
    with urllib.request.urlopen(request, timeout=600) as reply:
        for line in reply:
            data = line.decode().removeprefix("data: ").strip()
            done = done or data == "[DONE]"
            if data and not done:
                choices = json.loads(data)["choices"]
                pieces += [choices[0]["delta"].get("content") or ""] if choices else []
    assert done, "the stream ended without [DONE]"
    return "".join(pieces)


@contextmanager
def gateway(project: Path, student: str, words: Sequence[str]) -> Iterator[str]:
    """`distil serve` on a free port for the length of a block; yields http://127.0.0.1:PORT/v1."""
    line = [
        sys.executable,
        "-m",
        "distil",
        "serve",
        student,
        *words,
        *settings(serve__port=0),
        "--project",
        str(project),
    ]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    said = b""
    try:
        for said_line in process.stderr:
            said += said_line
            if found := SERVING.search(said_line):
                yield f"{found[1].decode()}/v1"
                return
        raise SystemExit(f"distil serve ended: {said.decode(errors='replace')}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)
