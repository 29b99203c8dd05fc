"""Names as people type them work, or are answered with the exact words to write."""

from __future__ import annotations

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.providers.catalog import (
    PROVIDERS,
    about_key,
    open_keyless,
    open_teacher,
    parse_model,
    price_id,
)
from distil.calls.providers.hosts import HOSTS
from distil.errors import UserError
from tests.wire.ask import question

ENVIRONMENT = {
    "AZURE_OPENAI_ENDPOINT": "https://n.openai.azure.com",
    "AWS_REGION": "us-east-1",
    "GOOGLE_CLOUD_PROJECT": "p",
    **{host.keys[0]: "key" for host in HOSTS.values()},
}


@pytest.mark.parametrize(
    ("written", "prefix", "name"),
    [
        ("gemini/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("vertex_ai/gemini-2.5-pro", "vertex", "gemini-2.5-pro"),
        ("bedrock/us.amazon.nova-lite-v1:0", "bedrock", "us.amazon.nova-lite-v1:0"),
        ("bedrock/converse/us.amazon.nova-lite-v1:0", "bedrock", "us.amazon.nova-lite-v1:0"),
        ("ollama/llama3.2:3b", "ollama", "llama3.2:3b"),
        ("ollama_chat/llama3.2", "ollama", "llama3.2"),
        ("huggingface/meta-llama/Llama-3.3-70B-Instruct", "huggingface", "meta-llama/Llama-3.3-70B-Instruct"),
        ("hf/Qwen/Qwen3-8B:nebius", "huggingface", "Qwen/Qwen3-8B:nebius"),
        ("together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3"),
        ("fireworks_ai/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
        ("xai/grok-4", "x-ai", "grok-4"),
        ("openai/responses/gpt-4.1", "openai-responses", "gpt-4.1"),
        ("azure/o_series/my-o3", "azure", "my-o3"),
        ("openrouter/anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("perplexity/sonar", "perplexity", "sonar"),
        ("cohere/command-a-03-2025", "cohere", "command-a-03-2025"),
    ],
)
def test_names_from_elsewhere_work(written: str, prefix: str, name: str) -> None:
    ref = parse_model(written)
    assert (ref.prefix, ref.name) == (prefix, name)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("gpt-4o-mini", "Did you mean openai/gpt-4o-mini?"),
        ("o3", "Did you mean openai/o3?"),
        ("claude-sonnet-4-5", "Did you mean anthropic/claude-sonnet-4-5?"),
        ("gemini-2.5-flash", "Did you mean google/gemini-2.5-flash?"),
        ("openai:gpt-4o", "Did you mean openai/gpt-4o?"),
        ("google-gla:gemini-2.0-flash", "Did you mean google/gemini-2.0-flash?"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "Did you mean bedrock/anthropic.claude-3-haiku-20240307-v1:0?"),
        ("llama3.2:3b", "Did you mean ollama/llama3.2:3b?"),
        ("hosted_vllm/Qwen/Qwen3-8B", "write http://127.0.0.1:8000/v1#Qwen/Qwen3-8B"),
        ("lm_studio/qwen3", "write http://127.0.0.1:1234/v1#qwen3"),
        ("litellm_proxy/gpt", "write http://127.0.0.1:4000/v1#gpt"),
        ("azure_ai/mistral-large", "write azure/mistral-large"),
        ("Qwen/Qwen3-8B", "write local/Qwen/Qwen3-8B to run it on this machine, huggingface/Qwen/Qwen3-8B"),
        ("opnai/gpt-4o", "Did you mean openai/gpt-4o?"),
    ],
)
def test_other_names_are_answered_with_what_to_write(written: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_model(written)
    assert words in str(caught.value)


@pytest.mark.parametrize("prefix", sorted(HOSTS))
def test_every_vendor_can_be_asked_by_name(prefix: str) -> None:
    assert prefix in PROVIDERS
    model = f"{prefix}/some-model"
    opened = open_teacher(TeacherConfig(model=model), ENVIRONMENT)
    wire = opened.replicas[0].wire(question("Hi", model))
    assert wire.url.startswith(("https://", "http://127.0.0.1:11434/v1/")) and wire.body


@pytest.mark.parametrize("prefix", sorted(name for name, host in HOSTS.items() if not host.keyless))
def test_a_missing_key_names_its_variable(prefix: str) -> None:
    without = {name: value for name, value in ENVIRONMENT.items() if name not in HOSTS[prefix].keys}
    with pytest.raises(UserError, match=f"export {HOSTS[prefix].keys[0]}="):
        open_teacher(TeacherConfig(model=f"{prefix}/m"), without)
    for variable in HOSTS[prefix].keys:
        opened = open_teacher(TeacherConfig(model=f"{prefix}/m"), {**without, variable: ' "some-key"\n'})
        assert "some-key" in " ".join(opened.replicas[0].wire(question()).headers.values())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        ("gpu.corp", "http://gpu.corp:11434/v1"),
        ("https://ollama.corp", "https://ollama.corp:443/v1"),
        ("http://gpu:1234/", "http://gpu:1234/v1"),
        ("[::1]:9", "http://[::1]:9/v1"),
    ],
)
def test_ollama_is_where_its_variable_says(host: str, url: str) -> None:
    opened = open_teacher(TeacherConfig(model="ollama/llama3.2"), {"OLLAMA_HOST": host})
    wire = opened.replicas[0].wire(question())
    assert wire.url == f"{url}/chat/completions" and "Authorization" not in wire.headers


@pytest.mark.parametrize(
    "pasted",
    ["http://h:8000/v1", "http://h:8000/v1/", "http://h:8000/v1/chat/completions", "http://h:8000/v1/chat/completions/",
     "http://h:8000/v1/completions", "http://h:8000/v1/models", "http://h:8000/v1/responses"],
)  # fmt: skip
def test_an_address_pasted_with_its_operation_works(pasted: str) -> None:
    named = open_teacher(TeacherConfig(model=f"{pasted}#m"), {})
    listed = open_teacher(TeacherConfig(model="openai/gpt-4o", base_urls=[pasted]), {"OPENAI_API_KEY": "k"})
    for opened in (named, listed):
        assert opened.replicas[0].wire(question()).url == "http://h:8000/v1/chat/completions"
        assert opened.endpoint == "http://h:8000/v1"


def test_prices_are_looked_up_under_the_vendors_own_name() -> None:
    found = {model: price_id(parse_model(model)) for model in (
        "openai-responses/gpt-5-codex", "vertex/gemini-2.5-flash", "bedrock/us.amazon.nova-lite-v1:0", "azure/gpt-4o",
        "hf/Qwen/Qwen3-8B:nebius", "hf/Qwen/Qwen3-8B", "ollama/llama3.2", "http://h/v1#m", "xai/grok-4",
    )}  # fmt: skip
    assert list(found.values()) == ["openai", "google", "aws", "azure", "huggingface_nebius", None, None, None, "x-ai"]


def test_what_the_ledger_has_needs_neither_region_nor_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "GOOGLE_CLOUD_PROJECT", "VERTEX_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "AIzaX")
    for model in ("bedrock/us.amazon.nova-lite-v1:0", "vertex/gemini-2.5-flash"):
        config = TeacherConfig(model=model)
        assert open_keyless(config).endpoint == open_teacher(config, ENVIRONMENT).endpoint


def test_a_refused_key_is_said_to_come_from_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OLLAMA_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert about_key(TeacherConfig(model="hf/Qwen/Qwen3-8B")) == "The key was read from HF_TOKEN."
    assert about_key(TeacherConfig(model="bedrock/m")) == about_key(TeacherConfig(model="ollama/m")) == ""
    assert "api_key_env" in about_key(TeacherConfig(model="http://h/v1#m"))


@pytest.mark.parametrize(
    "model", ["http://me:hush@h/v1#m", "http://me:hush@h/v1", "https://h/v1?key=hush#m", "https://h/v1?key=hush",
              "https://me:hush@n.openai.azure.com#m", "https://n.openai.azure.com?sig=hush"],
)  # fmt: skip
def test_a_secret_in_an_address_is_refused_unseen(model: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_model(model)
    assert "hush" not in str(caught.value)
