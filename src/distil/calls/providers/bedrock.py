"""bedrock/MODEL_ID: every model on Amazon Bedrock by one format, Converse. The key is a bearer token or a signature (aws.py).

Reading and writing only; sends nothing. The shapes of turns and tools are in bedrock_blocks.py.
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from distil.calls.faults import Fault, FaultKind
from distil.calls.providers import anthropic, bedrock_blocks, common, error_words, reading
from distil.calls.providers.aws import AwsKeys, sign
from distil.calls.providers.base import LimitHint, Parsed, WireRequest
from distil.calls.providers.usage import converse_usage
from distil.calls.request import JsonObject, Request
from distil.errors import UserError

_CLAUDE = re.compile(r"anthropic\.(claude-[\w.-]+)")
_FINISH = {**anthropic.FINISH, "content_filtered": "content_filter"}
_KINDS: dict[str, tuple[FaultKind, bool]] = {
    "AccessDeniedException": ("auth", False),
    "UnrecognizedClientException": ("auth", False),
    "InvalidSignatureException": ("auth", False),
    "ExpiredTokenException": ("auth", False),
    "IncompleteSignature": ("auth", False),
    "MissingAuthenticationToken": ("auth", False),
    "ResourceNotFoundException": ("not_found", False),
    "ValidationException": ("bad_request", False),
    "ThrottlingException": ("rate_limit", True),
    "TooManyRequestsException": ("rate_limit", True),
    "ModelNotReadyException": ("overload", True),
    "ServiceUnavailableException": ("overload", True),
    "ServiceQuotaExceededException": ("rate_limit", True),
    "ModelTimeoutException": ("timeout", True),
    "ModelErrorException": ("server", True),
    "InternalServerException": ("server", True),
}


class BedrockProvider:
    """Translation to and from `POST {base_url}/model/MODEL_ID/converse`. api_key: a Bedrock API key, or AWS keys that sign."""

    def __init__(self, name: str, base_url: str, api_key: str | AwsKeys | None) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._key = api_key if isinstance(api_key, str) else None
        self._aws = api_key if isinstance(api_key, AwsKeys) else None
        claude = _CLAUDE.search(name)
        self._claude = anthropic.AnthropicProvider(claude[1], base_url, None) if claude else None

    def wire(self, request: Request) -> WireRequest:
        """The model's id is in the URL. Raises UserError on a tier that is not sold here."""
        url = f"{self.base_url}/model/{quote(self.name, safe='')}/converse"
        return WireRequest(url, self.headers(), self.body(request))

    def headers(self) -> dict[str, str]:
        """Carries a bearer key; a signature is added when the request is sent."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    async def signed(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with a signature of now, which is good for five minutes."""
        return dict(headers) if self._aws is None else sign(self._aws, url, headers, body)

    def body(self, request: Request) -> JsonObject:
        """The JSON body; settings that the API or the model lacks are left out."""
        if request.tier == "flex":
            raise UserError("Distil does not use Bedrock's flex tier. Set `collect.tier` to standard.")
        system, turns = bedrock_blocks.conversation(request.messages)
        body: JsonObject = {"messages": turns, "inferenceConfig": self._config(request)}
        if system:
            body["system"] = [{"text": system}]
        if request.tools:
            body["toolConfig"] = {"tools": [bedrock_blocks.tool(definition) for definition in request.tools]}
        if request.tools and request.tool_choice is not None:
            body["toolConfig"]["toolChoice"] = bedrock_blocks.tool_choice(request.tool_choice)
        if request.response_format:
            body["outputConfig"] = {"textFormat": bedrock_blocks.text_format(request.response_format)}
        extra = self._extra(request)
        if extra:
            body["additionalModelRequestFields"] = extra
        return body

    def _config(self, request: Request) -> JsonObject:
        sampling, left_out = request.sampling, self.ignored(request)
        config: JsonObject = {"maxTokens": sampling.max_tokens}
        if "temperature" not in left_out and (self._claude is None or sampling.temperature != 1.0):
            config["temperature"] = sampling.temperature
        if sampling.top_p != 1.0 and "top_p" not in left_out:
            config["topP"] = sampling.top_p
        if sampling.stop:
            config["stopSequences"] = sampling.stop
        return config

    def _extra(self, request: Request) -> JsonObject:
        """How much to think, in each family's own field; the others have none."""
        effort = request.sampling.reasoning_effort
        if effort is None:
            return {}
        if self._claude is not None:
            body = self._claude.body(request)
            return {name: body[name] for name in ("thinking", "output_config") if name in body}
        if "openai.gpt-oss" in self.name:
            return {"reasoning_effort": effort}
        return {"reasoning_config": effort} if "qwen" in self.name else {}

    def ignored(self, request: Request) -> list[str]:
        """Names of the sampling settings that are left out."""
        sampling = request.sampling
        absent = {"seed": sampling.seed is not None, "top_logprobs": sampling.top_logprobs is not None}
        if sampling.reasoning_effort is not None and not self._extra(request):
            absent["reasoning_effort"] = self._claude is None
        left_out = [name for name, is_set in absent.items() if is_set]
        if self._claude is None:
            return left_out
        return [*(name for name in self._claude.ignored(request) if name not in left_out), *left_out]

    @reading.parses
    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """Raises GarbledReply when there is no message with content."""
        reply = common.read_object(body)
        message = common.mapping(common.mapping(reply.get("output")).get("message"))
        if not isinstance(message.get("content"), list):
            raise reading.wrong_shape("the reply has no message with content", reply)
        text, thinking, calls = bedrock_blocks.read(message["content"])
        reason = str(reply.get("stopReason") or "unknown")
        return Parsed(
            text=text,
            reasoning=thinking or None,
            tool_calls=calls or None,
            finish_reason=_FINISH.get(reason, reason),
            usage=converse_usage(reply.get("usage")),
        )

    @reading.sorts
    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """The exception's name is in a header, or in the body's `__type`."""
        words, value = error_words.error_words(body, status), common.error_object(body)
        name = common.lowered(headers).get("x-amzn-errortype") or str(value.get("__type") or "")
        name = name.split(":")[0].rpartition("#")[2]
        message = common.shorten(words.message or str(value.get("Message") or ""), self._key)
        kind, retryable = _KINDS.get(name, common.by_status(status))
        if kind == "bad_request" and "model identifier is invalid" in message:
            kind = "not_found"
        if kind == "bad_request" and words.filtered:
            kind = "filtered"
        wait = common.retry_after_s(headers) if retryable else None
        return Fault(kind, self._explain(status, kind, name, message), wait, retryable)

    def _explain(self, status: int, kind: FaultKind, name: str, message: str) -> str:
        detail = f" It says: {message}" if message else ""
        if kind == "auth":
            return (
                f"Bedrock refused the request for {self.name} ({status} {name}).{detail} Check AWS_BEARER_TOKEN_BEDROCK or "
                "your AWS keys (temporary ones end: set a new AWS_SESSION_TOKEN), the right bedrock:InvokeModel, and the "
                "account's model access."
            )
        if kind == "not_found" or "on-demand throughput" in message:
            return (
                f"Bedrock at {self.base_url} has no model {self.name!r} ({status}).{detail} Write the id from the model's "
                f"page; many are only there as an inference profile of a region: bedrock/us.{self.name}. AWS_REGION decides "
                "which region is asked."
            )
        return f"Bedrock answered {status}{' ' + name if name else ''}.{detail}"

    def limits(self, headers: Mapping[str, str]) -> LimitHint:
        """Bedrock announces no limits."""
        return {}
