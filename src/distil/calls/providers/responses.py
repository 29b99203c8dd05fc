"""openai/NAME for models that only live there (codex, pro), and openai-responses/NAME: OpenAI's `POST {base_url}/responses`.

The API has no seed, no stop sequences and no n; thinking comes as summaries. Nothing is stored at OpenAI (`store: false`).
Sends nothing. The shapes of turns and tools are in responses_items.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from distil.calls.faults import GarbledReply
from distil.calls.providers import common, error_words, reading, responses_items
from distil.calls.providers.base import Parsed, WireRequest
from distil.calls.providers.openai import OpenAIProvider
from distil.calls.providers.openai_names import refuses_sampling
from distil.calls.providers.usage import responses_usage, told_cost
from distil.calls.request import JsonObject, Request


class ResponsesProvider(OpenAIProvider):
    """Translation to and from `POST {base_url}/responses`."""

    takes_further = False

    def wire(self, request: Request) -> WireRequest:
        """One response per request."""
        return WireRequest(f"{self.base_url}/responses", self.headers(), self.body(request))

    def body(self, request: Request) -> JsonObject:
        """The JSON body; parameters that the API or the model lacks are left out."""
        sampling, left_out = request.sampling, set(self.ignored(request))
        body: JsonObject = {
            "model": self.name,
            "input": responses_items.conversation(request.messages),
            "max_output_tokens": sampling.max_tokens,
            "store": False,
        }
        if "temperature" not in left_out:
            body["temperature"] = sampling.temperature
        if sampling.top_p != 1.0 and "top_p" not in left_out:
            body["top_p"] = sampling.top_p
        reasoning = self._reasoning(sampling.reasoning_effort)
        if reasoning:
            body["reasoning"] = reasoning
        if sampling.top_logprobs is not None and "top_logprobs" not in left_out:
            body["top_logprobs"] = sampling.top_logprobs
            body["include"] = ["message.output_text.logprobs"]
        if request.tools:
            body["tools"] = [responses_items.tool(tool) for tool in request.tools]
        if request.tools and request.tool_choice is not None:
            body["tool_choice"] = responses_items.tool_choice(request.tool_choice)
        if request.response_format:
            body["text"] = {"format": responses_items.text_format(request.response_format)}
        if request.tier == "flex":
            body["service_tier"] = "flex"
        return body

    def _reasoning(self, effort: str | None) -> JsonObject:
        """The effort, and a summary of the thinking where there is any."""
        made: JsonObject = {"effort": effort} if effort is not None else {}
        if refuses_sampling(self.name, effort):
            made["summary"] = "auto"
        return made

    def ignored(self, request: Request) -> list[str]:
        """What reasoning models refuse, and what this API does not have."""
        sampling = request.sampling
        absent = [name for name, is_set in (("stop", sampling.stop), ("seed", sampling.seed is not None)) if is_set]
        return [*(name for name in super().ignored(request) if name not in absent), *absent]

    @reading.parses
    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Parsed:
        """A reply that is incomplete ends as its reason says; one that failed, or is still at work, is not an answer."""
        reply = common.read_object(body)
        if reply.get("error"):
            words = error_words.error_words(body, status)
            raise GarbledReply(f"the reply is an error: {common.shorten(words.message or words.code, self._key)}")
        output = reply.get("output")
        if not isinstance(output, list):
            raise reading.wrong_shape("the reply has no output", reply)
        read = responses_items.read([item for item in output if isinstance(item, dict)])
        return Parsed(
            text=read.text or read.refusal,
            reasoning=read.thinking or None,
            tool_calls=read.calls or None,
            finish_reason=_finish(reply, read),
            usage=responses_usage(reply.get("usage")),
            logprobs=read.logprobs or None,
            served_tier=_tier(reply.get("service_tier")),
            told=told_cost(reply.get("usage"), headers),
        )


def _finish(reply: JsonObject, read: responses_items.Read) -> str:
    """In chat's words: stop | length | tool_calls | refusal | content_filter; the status itself where it is none of these."""
    status = reply.get("status")
    if status == "incomplete":
        reason = common.mapping(reply.get("incomplete_details")).get("reason")
        return {"max_output_tokens": "length"}.get(str(reason), str(reason or status))
    if status not in ("completed", "complete", None):
        return str(status)
    if read.refusal and not read.text:
        return "refusal"
    if read.calls:
        return "tool_calls"
    return "stop" if status or read.text else "unknown"


def _tier(tier: object) -> str | None:
    return None if not isinstance(tier, str) else "flex" if tier == "flex" else "standard"
