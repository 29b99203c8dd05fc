"""Amazon Bedrock: Converse as the real one speaks it, and signatures against AWS's published vectors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from distil.calls.config import Price, TeacherConfig
from distil.calls.faults import GarbledReply
from distil.calls.providers.aws import AwsKeys, find_keys, find_region, sign
from distil.calls.providers.bedrock import BedrockProvider
from distil.calls.providers.catalog import open_teacher
from distil.errors import UserError
from distil.records import Message, Sampling
from tests.calls.asking import with_client
from tests.calls.providers.recorded_replies import replies
from tests.wire.ask import question
from tests.wire.server import WireServer

URL = "https://bedrock-runtime.us-east-1.amazonaws.com"
NOVA = "us.amazon.nova-micro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, "us-east-1", "service")
WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": {"type": "object"}},
}


def provider(name: str = NOVA) -> BedrockProvider:
    return BedrockProvider(name, URL, "bedrock-api-key-0123456789")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        ("GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),  # get-vanilla
        ("GET", "/\u1234", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),  # get-utf8
        ("GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", {}, b"",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),  # get-unreserved
        ("GET", "/?Param2=value2&Param1=value1", {}, b"",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),  # get-vanilla-query-order-key-case
        ("POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),  # post-vanilla
        ("POST", "/", {"My-Header1": "VALUE1"}, b"",
         "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),  # post-header-value-case
        ("GET", "/", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}, b"",
         "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),  # get-header-value-trim
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded; charset=utf8"}, b"Param1=value1",
         "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),  # post-x-www-form-urlencoded-parameters
    ],
)  # fmt: skip
def test_signatures_are_those_of_the_published_suite(
    method: str, path: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    """AWS's aws-sig-v4-test-suite, as the AWS SDK for JavaScript has it (signature-v4/suite.fixture)."""
    made = sign(KEYS, f"https://example.amazonaws.com{path}", headers, body, now=WHEN, method=method)
    assert made["Authorization"].endswith(f"Signature={signature}")
    assert "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request" in made["Authorization"]


def test_an_encoded_path_is_encoded_again_for_the_signature() -> None:
    """As botocore 1.44.8 signs it (SigV4Auth, service bedrock), which every service but S3 wants."""
    keys = AwsKeys("AKIDEXAMPLE", "secret", "token", "us-east-1")
    url = f"{URL}/model/us.amazon.nova-micro-v1%3A0/converse"
    made = sign(keys, url, {"Content-Type": "application/json"}, b"{}", now=WHEN)
    assert made["X-Amz-Security-Token"] == "token"
    assert made["Authorization"] == BOTOCORE


BOTOCORE = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
    "Signature=33ec573b90bd520401dea396a1dcc1849f9a0ad3d2cd651f21d2b5681670717d"
)


def test_keys_and_region_are_found_where_aws_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s%1\n[work]\naws_access_key_id=AKIA2\n"
        "aws_secret_access_key=s2\naws_session_token=t2\n"
    )
    (folder / "config").write_text("[default]\nregion = eu-west-1\n[profile work]\nregion = eu-north-1\n")
    home = {"HOME": str(tmp_path)}
    assert find_keys(home, "r") == AwsKeys("AKIA1", "s%1", None, "r")
    assert find_keys({**home, "AWS_PROFILE": "work"}, "r") == AwsKeys("AKIA2", "s2", "t2", "r")
    named = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}
    assert find_keys({**home, **named}, "r") == AwsKeys("A", "S", "T", "r")
    assert (find_region(home), find_region({**home, "AWS_PROFILE": "work"})) == ("eu-west-1", "eu-north-1")
    assert find_region({**home, "AWS_REGION": "us-west-2"}) == "us-west-2"
    assert find_keys({"HOME": str(tmp_path / "none")}, "r") is None and find_region({}) is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AWS_BEARER_TOKEN_BEDROCK": "k"}, "export AWS_REGION="),
        ({"AWS_REGION": "us-east-1"}, "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_what_is_missing_is_said_with_what_to_type(environ: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_teacher(TeacherConfig(model=f"bedrock/{NOVA}"), environ)


def test_a_bearer_key_comes_first() -> None:
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_BEARER_TOKEN_BEDROCK": "k1",
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "S",
    }
    opened = open_teacher(TeacherConfig(model=f"bedrock/{NOVA}"), environ)
    wire = opened.replicas[0].wire(question("Hi"))
    assert wire.url == "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.amazon.nova-micro-v1%3A0/converse"
    assert wire.headers["Authorization"] == "Bearer k1"
    elsewhere = open_teacher(TeacherConfig(model=f"bedrock/{NOVA}"), {**environ, "AWS_REGION": "us-east-1"})
    assert opened.endpoint == elsewhere.endpoint, "a model's answers are not paid for again in another region"


def test_the_body_has_the_shape_of_recorded_requests() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content=[{"type": "text", "text": "And?"}, image]),
        Message(role="assistant", content="", tool_calls=[call]),
        Message(role="tool", content="sunny", tool_call_id="t1"),
        Message(role="user", content="Thanks"),
    ]
    schema = {"type": "json_schema", "json_schema": {"name": "City", "schema": {"type": "object"}}}
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=300, stop=["END"])
    request = question(sampling=sampling, tools=[TOOL], response_format=schema).model_copy(
        update={"messages": messages}
    )
    assert provider().body(request) == {
        "messages": [
            {"role": "user", "content": [{"text": "And?"}, {"image": {"format": "png", "source": {"bytes": "AA=="}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Rome"}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "sunny"}]}}, {"text": "Thanks"},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 300, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "system": [{"text": "Be brief."}],
        "toolConfig": {"tools": [
            {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}, "description": "of a city"}}
        ]},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {
            "jsonSchema": {"name": "City", "schema": '{"type": "object"}'}
        }}},
    }  # fmt: skip


def test_claude_thinks_and_samples_by_its_own_rules() -> None:
    request = question(sampling=Sampling(temperature=0.5, top_p=0.9, max_tokens=9000, reasoning_effort="low", seed=3))
    body = provider(CLAUDE).body(request)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert body["inferenceConfig"] == {"maxTokens": 9000}, "thinking takes no temperature"
    assert sorted(provider(CLAUDE).ignored(request)) == ["seed", "temperature", "top_p"]
    assert provider().ignored(request) == ["seed", "reasoning_effort"]
    assert provider("openai.gpt-oss-120b-1:0").body(request)["additionalModelRequestFields"] == {
        "reasoning_effort": "low"
    }


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (400, {}, {"message": "The provided model identifier is invalid."}, "not_found"),
        (400, {"x-amzn-ErrorType": "ValidationException:http://x"}, {"message": "too long"}, "bad_request"),
        (429, {"x-amzn-ErrorType": "ThrottlingException"}, {"message": "Too many tokens"}, "rate_limit"),
        (403, {"x-amzn-errortype": "AccessDeniedException"}, {"Message": "no access"}, "auth"),
        (403, {}, {"__type": "com.amazon.coral.service#UnrecognizedClientException", "message": "bad token"}, "auth"),
        (424, {"x-amzn-ErrorType": "ModelErrorException"}, {"message": "x"}, "server"),
        (503, {}, {"message": "busy"}, "overload"),
    ],
)
def test_exceptions_are_sorted(status: int, headers: dict[str, str], body: dict[str, str], kind: str) -> None:
    found = provider().fault(status, headers, json.dumps(body).encode())
    assert found.kind == kind and found.retryable is (kind in ("rate_limit", "server", "overload"))
    assert next(iter(reversed(body.values()))) in found.message


def test_all_recorded_replies_are_read(data_dir: Callable[[str], Path]) -> None:
    found = replies(data_dir("replies/replies.jsonl.gz"), lambda record: record["path"].endswith("/converse"))
    assert len(found) > 50
    for record in found:
        body, raw = json.loads(record["body"]), record["body"].encode()
        one = provider(unquote(record["path"].split("/")[-2]))
        if record["status"] != 200:
            assert body["message"][:40] in one.fault(record["status"], record["headers"], raw).message
            continue
        parsed, content = one.parse(200, record["headers"], raw), body["output"]["message"]["content"]
        said = "".join(block["text"] for block in content if "text" in block)
        assert said.replace("<thinking>", "").split() == said.split() or parsed.reasoning
        assert parsed.text.strip() in said
        thought = [
            b["reasoningContent"]["reasoningText"]["text"]
            for b in content
            if "reasoningText" in b.get("reasoningContent", {})
        ]
        assert all(text in (parsed.reasoning or "") for text in thought)
        uses = [b["toolUse"] for b in content if "toolUse" in b and b["toolUse"].get("type") != "server_tool_use"]
        assert [(c["id"], json.loads(c["function"]["arguments"])) for c in parsed.tool_calls or []] == [
            (use["toolUseId"], use["input"]) for use in uses
        ]
        assert parsed.usage.input_tokens + parsed.usage.output_tokens == body["usage"]["totalTokens"]
        words = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
        assert parsed.finish_reason == words.get(body["stopReason"], body["stopReason"])


@pytest.mark.parametrize("body", [{}, {"output": None}, {"output": {"message": {"content": "x"}}}, {"output": [1]}])
def test_another_shape_is_garbled(body: dict[str, Any]) -> None:
    with pytest.raises(GarbledReply):
        provider().parse(200, {}, json.dumps(body).encode())


class Bedrock(WireServer):
    """Answers one model, and keeps the path as it came."""

    raw_path = ""

    def routes(self) -> list[web.RouteDef]:
        async def converse(request: web.Request) -> web.Response:
            self.raw_path = request.raw_path
            message = {"role": "assistant", "content": [{"text": "Paris"}]}
            usage = {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6}
            return web.json_response({"output": {"message": message}, "stopReason": "end_turn", "usage": usage})

        return [web.post("/model/{id}/converse", converse)]


def test_a_signed_request_is_sent_as_it_was_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    model = f"bedrock/{NOVA}"
    with Bedrock() as server:
        config = TeacherConfig(model=model, base_urls=[server.origin], price=Price(input=1, output=1))
        reply = with_client(tmp_path, [config], lambda client: client.complete(question("Hi", model)))
        seen = server.seen[0]
    assert reply.text == "Paris"
    assert server.raw_path == "/model/us.amazon.nova-micro-v1%3A0/converse", "the client encodes nothing again"
    when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    keys = AwsKeys("AKID", "SECRET", None, "us-east-1")
    again = sign(keys, server.origin + server.raw_path, {"Content-Type": "application/json"}, seen.raw, now=when)
    assert seen.headers["authorization"] == again["Authorization"]
    assert seen.headers["host"] == server.origin.removeprefix("http://")


def test_signatures_are_made_when_they_are_sent() -> None:
    async def main() -> None:
        one = BedrockProvider(NOVA, URL, KEYS)
        wire = one.wire(question("Hi"))
        assert "Authorization" not in wire.headers
        made = await one.signed(wire.url, wire.headers, b"{}")
        assert made["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")

    asyncio.run(main())
