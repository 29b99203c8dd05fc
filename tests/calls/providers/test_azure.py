"""azure/DEPLOYMENT: every address that Azure's portal shows, its key header, its names for faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from distil.calls.config import TeacherConfig
from distil.calls.providers.azure import AzureProvider, resource
from distil.calls.providers.catalog import open_teacher, parse_model
from distil.errors import UserError
from tests.calls.providers.recorded_replies import replies
from tests.wire.ask import question

HOST = "https://n.openai.azure.com"
V1 = f"{HOST}/openai/v1/chat/completions"
DATED = f"{HOST}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"


def url(address: str, environ: dict[str, str] | None = None, model: str = "azure/gpt-4o") -> str:
    base_urls = [address] if address else []
    opened = open_teacher(
        TeacherConfig(model=model, base_urls=base_urls), {"AZURE_OPENAI_API_KEY": "k", **(environ or {})}
    )
    return opened.replicas[0].wire(question("Hi")).url


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        (HOST, V1),
        (f"{HOST}/", V1),
        (f"{HOST}/openai/v1", V1),
        (f"{HOST}/openai/v1/", V1),
        (f"{HOST}/openai/v1/chat/completions", V1),
        (f"{HOST}/openai/v1?api-version=preview", V1),
        (f"{HOST}?api-version=2024-10-21", DATED),
        (f"{HOST}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", DATED),
        ("https://n.services.ai.azure.com", "https://n.services.ai.azure.com/openai/v1/chat/completions"),
        ("https://n.services.ai.azure.com/models", "https://n.services.ai.azure.com/openai/v1/chat/completions"),
        ("https://gate.corp/azure", "https://gate.corp/azure/openai/v1/chat/completions"),
        ("n.openai.azure.com", V1),
    ],
)
def test_every_address_of_a_resource_works(address: str, sent: str) -> None:
    assert url(address) == sent
    for variable in ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"):
        assert url("", {variable: address}) == sent


@pytest.mark.parametrize("variable", ["OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION", "AZURE_API_VERSION"])
def test_the_environment_may_date_the_api(variable: str) -> None:
    assert url("", {"AZURE_OPENAI_ENDPOINT": HOST, variable: "2024-10-21"}) == DATED
    assert url("", {"AZURE_OPENAI_ENDPOINT": f"{HOST}/openai/v1", variable: "2024-10-21"}) == V1, "the path decides"


def test_an_address_with_a_name_behind_it_is_the_same_resource() -> None:
    for model in (f"{HOST}/openai/v1#gpt-4o", f"{HOST}#gpt-4o", DATED, f"{DATED}#gpt-4o"):
        ref = parse_model(model)
        assert (ref.prefix, ref.name) == ("azure", "gpt-4o")
        assert url("", model=model) == (DATED if "2024" in model else V1)
    assert url("", model="azure_openai/gpt-4o", environ={"AZURE_OPENAI_ENDPOINT": HOST}) == V1


@pytest.mark.parametrize(
    ("model", "words"),
    [("azure/gpt-4o", "export AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com"), (f"{HOST}/openai/v1", "#DEPLOYMENT"),
     (f"{HOST}?code=secret#x", "more than an api-version")],
)  # fmt: skip
def test_what_is_missing_is_said_with_what_to_type(model: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        open_teacher(TeacherConfig(model=model), {"AZURE_OPENAI_API_KEY": "k"})
    assert "secret" not in str(caught.value)


def test_the_key_is_in_azures_own_header() -> None:
    plain, reasoning = AzureProvider("my-4o", HOST, "k"), AzureProvider("gpt-5-mini", HOST, "k")
    assert plain.headers() == {"Content-Type": "application/json", "api-key": "k"}
    assert "max_tokens" in plain.body(question()) and plain.body(question())["model"] == "my-4o"
    assert "max_completion_tokens" in reasoning.body(question()) and "temperature" not in reasoning.body(question())


def test_a_missing_deployment_and_a_wrong_key_are_azures_words() -> None:
    one = AzureProvider("gpt-5-nano", f"{HOST}?api-version=2024-10-21", "k")
    gone = {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}
    missing = one.fault(404, {}, json.dumps(gone).encode())
    assert (
        missing.kind == "not_found" and "has no deployment 'gpt-5-nano'" in missing.message and HOST in missing.message
    )
    denied = one.fault(401, {}, b'{"error": {"code": "401", "message": "Access denied"}}')
    assert denied.kind == "auth" and "belongs to one resource" in denied.message


def test_recorded_replies_are_read(data_dir: Callable[[str], Path]) -> None:
    found = replies(data_dir("replies/replies.jsonl.gz"), lambda record: "/openai/deployments/" in record["path"])
    assert len(found) >= 6
    for record in found:
        one, raw = AzureProvider("X", HOST, "k"), record["body"].encode()
        body = json.loads(record["body"])
        if record["status"] != 200 or "error" in body:
            assert one.fault(record["status"], record["headers"], raw).kind in ("not_found", "filtered")
            continue
        parsed = one.parse(200, record["headers"], raw)
        choice = body["choices"][0]
        assert parsed.text == choice.get("message", {}).get("content", "")
        assert parsed.finish_reason == choice["finish_reason"]
        assert one.limits(record["headers"]) is not None


def test_a_resource_is_taken_apart() -> None:
    assert resource(DATED) == (HOST, "gpt-4o", "2024-10-21")
    assert resource(f"{HOST}/openai/v1", "2024-10-21") == (HOST, None, "")
