"""The peers of benchmarks/collect.py, each in its own environment: bespoke-curator and distilabel, used as they document it.

Not for running by hand: collect.py starts it. Imports nothing of Distil. Both get the same server, the same prompts, a high
limit on requests a minute and as many requests at once as Distil.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import resource
import time
from pathlib import Path

PROMPT = "Explain in a few words what number {} stands for, and why somebody would ask."


def curator(url: str, requests: int, at_once: int):
    os.environ.update(
        TELEMETRY_ENABLED="false",
        CURATOR_DISABLE_RICH_DISPLAY="1",
        CURATOR_CACHE_DIR=os.path.join(os.getcwd(), "cache"),
    )
    os.environ.update(OPENAI_API_KEY="none", CURATOR_DISABLE_CACHE="true", HF_HUB_OFFLINE="1")
    # It counts tokens with tiktoken, which would download its table; litellm, which it depends on, carries the same file.
    litellm = importlib.util.find_spec("litellm")
    if litellm is not None and litellm.origin is not None:
        os.environ.setdefault(
            "TIKTOKEN_CACHE_DIR", str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers")
        )
    from bespokelabs import curator

    llm = curator.LLM(
        model_name="gpt-4o-mini",  # it looks the name up in a table of models and breaks on an unknown one
        backend="openai",
        backend_params={
            "base_url": url,
            "max_requests_per_minute": 1_000_000,
            "max_tokens_per_minute": 1_000_000_000,
            "max_concurrent_requests": at_once,
            "require_all_responses": False,
            "in_mtok_cost": 1,
            "out_mtok_cost": 1,
        },
    )
    prompts = [PROMPT.format(number) for number in range(requests)]

    def work() -> int:
        answers = llm(prompts)
        return len(getattr(answers, "dataset", answers))

    return work, importlib.metadata.version("bespokelabs-curator")


def distilabel(url: str, requests: int, at_once: int):
    os.environ.update(
        DISTILABEL_LOG_LEVEL="ERROR", HF_HUB_OFFLINE="1", XDG_CACHE_HOME=os.path.join(os.getcwd(), "cache")
    )
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    rows = [{"instruction": PROMPT.format(number)} for number in range(requests)]
    with Pipeline(name="bench") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=at_once)
        llm = OpenAILLM(model="m", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 500})
        load >> TextGeneration(llm=llm, input_batch_size=at_once)

    def work() -> int:
        return len(pipeline.run(use_cache=False)["default"]["train"])

    return work, importlib.metadata.version("distilabel")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", choices=["curator", "distilabel"], required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    options = parser.parse_args()
    make = {"curator": curator, "distilabel": distilabel}[options.contender]
    work, version = make(options.url, options.requests, options.at_once)
    started = time.perf_counter()
    before = cpu()
    answered = work()
    taken = {
        "seconds": time.perf_counter() - started,
        "cpu": cpu() - before,
        "rss_mb": max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        / 1024,
        "version": version,
    }
    assert answered == options.requests, f"{answered} of {options.requests} answered"
    print(json.dumps(taken))


def cpu() -> float:
    """CPU seconds of this process and its children (distilabel's steps are processes)."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
