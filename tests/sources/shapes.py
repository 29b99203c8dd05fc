"""Rows in the shapes that data sets, providers and logging tools write, each saying the same: `Be brief.`, `Hi?` -> `Yo.`

Field names from the SDKs' own types: openai 3.57, anthropic 2.14, google-genai 3.6, langfuse 5.0 (ObservationV2), langsmith 0.15
(Run), langchain-core 1.8 (dumpd), braintrust 0.48, litellm 1.110 (StandardLoggingPayload), OpenTelemetry's GenAI conventions
(semconv 0.66b2, and Traceloop's 0.5), openinference 0.1.42, Helicone's export tool.
"""

from __future__ import annotations

import json
from typing import Any

SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}
TURNS: list[dict[str, Any]] = [SYSTEM, USER]
SAID = {"role": "assistant", "content": "Yo."}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                **SAID,
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Yo."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Yo."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    "modelVersion": "gemini-2.5-flash",
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Yo."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-5",
    "output": [
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Yo."}],
        },
    ],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def langchain(kind: str, **kwargs: Any) -> dict[str, Any]:
    """As langchain_core's dumpd writes a message."""
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": kwargs}


def otlp(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """As OpenTelemetry's JSON writes attributes."""
    return [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]


LANGSMITH_IN = {
    "messages": [[langchain("SystemMessage", content="Be brief."), langchain("HumanMessage", content="Hi?")]]
}
LANGSMITH_OUT = {
    "generations": [
        [
            {
                "text": "Yo.",
                "generation_info": {"finish_reason": "stop"},
                "message": langchain("AIMessage", content="Yo.", response_metadata={"finish_reason": "stop"}),
            }
        ]
    ],
    "llm_output": {"token_usage": {"prompt_tokens": 3, "completion_tokens": 2}},
}
GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi?"}]}]),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Yo."}], "finish_reason": "stop"}]
    ),
}
TRACELOOP = {
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Hi?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Yo.",
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.usage.output_tokens": 2,
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Hi?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Yo.",
    "llm.token_count.completion": 2,
}
PHOENIX = {
    "attributes.openinference.span.kind": "LLM",
    "attributes.llm.input_messages": [
        {"message.role": "system", "message.content": "Be brief."},
        {"message.role": "user", "message.content": "Hi?"},
    ],
    "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Yo."}],
}
CLAUDE_REQUEST = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi?", "cache_control": {"type": "ephemeral"}}]}
    ],
}
GEMINI_REQUEST = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Hi?"}]}],
}
CONVERSE_REQUEST = {"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Hi?"}]}]}
RESPONSES_REQUEST = {"model": "gpt-5", "instructions": "Be brief.", "input": "Hi?"}

LOGS: dict[str, dict[str, Any]] = {
    "OpenAI chat": {"request": {"model": "gpt-4o", "messages": TURNS, "temperature": 0}, "response": CHAT},
    "OpenAI chat with HTTP around": {
        "request": {"method": "POST", "body": {"messages": TURNS}},
        "response": {"statusCode": 200, "body": CHAT},
    },
    "OpenAI chat in text": {"request": json.dumps({"messages": TURNS}), "response": json.dumps(CHAT)},
    "OpenAI stored completion": {**CHAT, "messages": TURNS, "metadata": {"task": "x"}},
    "OpenAI Responses": {"request": RESPONSES_REQUEST, "response": RESPONSE},
    "OpenAI stored response": {**RESPONSE, "instructions": "Be brief.", "input": [{"role": "user", "content": "Hi?"}]},
    "Azure API Management": {"requestBody": {"messages": TURNS}, "responseBody": CHAT},
    "Anthropic": {"request": CLAUDE_REQUEST, "response": CLAUDE},
    "Gemini": {"request": GEMINI_REQUEST, "response": GEMINI},
    "Bedrock Converse": {"request": CONVERSE_REQUEST, "response": CONVERSE},
    "Bedrock batch": {"recordId": "1", "modelInput": CLAUDE_REQUEST, "modelOutput": CLAUDE},
    "LiteLLM": {
        "id": "1",
        "call_type": "acompletion",
        "model": "gpt-4o",
        "messages": TURNS,
        "response": CHAT,
        "model_parameters": {"temperature": 0},
        "status": "success",
    },
    "OpenPipe": {"input": {"model": "gpt-4o", "messages": TURNS}, "output": CHAT},
    "Azure diagnostic log": {
        "time": "2026-11-01",
        "properties": {"backendRequestBody": json.dumps({"messages": TURNS}), "backendResponseBody": json.dumps(CHAT)},
    },
    "Vertex AI in BigQuery": {"full_request": GEMINI_REQUEST, "full_response": GEMINI, "model": "gemini-2.5-flash"},
    "Bedrock invocation log": {
        "schemaType": "ModelInvocationLog",
        "modelId": "m",
        "input": {"inputContentType": "application/json", "inputBodyJson": CONVERSE_REQUEST},
        "output": {"outputContentType": "application/json", "outputBodyJson": CONVERSE, "outputTokenCount": 2},
    },
    "Vercel's AI SDK": {
        "attributes": {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.prompt.messages": json.dumps(TURNS),
            "ai.response.text": "Yo.",
            "gen_ai.request.model": "gpt-4o",
        }
    },
    "Helicone": {
        "response_id": "1",
        "request_body": {"messages": TURNS},
        "response_body": CHAT,
        "response_status": 200,
    },
    "Langfuse": {
        "id": "1",
        "type": "GENERATION",
        "input": TURNS,
        "output": SAID,
        "model": "gpt-4o",
        "usageDetails": {"input": 3, "output": 2, "total": 5},
    },
    "Langfuse in CSV": {
        "type": "GENERATION",
        "input": json.dumps(TURNS),
        "output": json.dumps(SAID),
        "providedModelName": "m",
    },
    "LangSmith": {"id": "1", "run_type": "llm", "inputs": LANGSMITH_IN, "outputs": LANGSMITH_OUT},
    "LangSmith's wrap_openai": {"run_type": "llm", "inputs": {"messages": TURNS, "model": "gpt-4o"}, "outputs": CHAT},
    "Braintrust": {
        "span_attributes": {"type": "llm", "name": "Chat Completion"},
        "input": TURNS,
        "output": CHAT["choices"],
        "metadata": {"model": "gpt-4o"},
        "metrics": {"prompt_tokens": 3, "completion_tokens": 2},
    },
    "OpenTelemetry GenAI": {"name": "chat gpt-4o", "attributes": GENAI},
    "OpenTelemetry GenAI, OTLP": {"name": "chat gpt-4o", "attributes": otlp(GENAI)},
    "OpenTelemetry GenAI, event": {"attributes": {"gen_ai.operation.name": "chat"}, "events": [{"attributes": GENAI}]},
    "Traceloop": {"attributes": TRACELOOP},
    "OpenInference": {"attributes": OPENINFERENCE},
    "Phoenix": PHOENIX,
    "messages with the model's name": {"messages": [*TURNS, SAID], "model": "gpt-4o"},
}
"""Name -> a row in which a model answered."""
SHAREGPT = [
    {"from": "system", "value": "Be brief."},
    {"from": "human", "value": "Hi?"},
    {"from": "gpt", "value": "Yo."},
]
DATA: dict[str, dict[str, Any]] = {
    "OpenAI fine-tuning": {"messages": [*TURNS, SAID]},
    "OpenAI preferences": {
        "input": {"messages": TURNS},
        "preferred_output": [SAID],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    },
    "OpenAI evals": {"input": TURNS, "ideal": "Yo."},
    "Bedrock fine-tuning": {
        **CONVERSE_REQUEST,
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [*CONVERSE_REQUEST["messages"], {"role": "assistant", "content": [{"text": "Yo."}]}],
    },
    "Gemini fine-tuning": {
        **GEMINI_REQUEST,
        "contents": [*GEMINI_REQUEST["contents"], {"role": "model", "parts": [{"text": "Yo."}]}],  # type: ignore[misc]
    },
    "ShareGPT": {"id": "1", "conversations": SHAREGPT},
    "ShareGPT with system": {"system": "Be brief.", "conversations": SHAREGPT[1:]},
    "ShareGPT as columns": {
        "conversations": {"from": ["system", "human", "gpt"], "value": ["Be brief.", "Hi?", "Yo."]},
    },
    "turns as pandas writes them": {"messages": str([*TURNS, SAID])},
    "ChatML in a text": {
        "text": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nYo.<|im_end|>\n"
    },
    "Guanaco": {"text": "### System: Be brief.\n### Human: Hi?\n### Assistant: Yo."},
    "LangSmith example": {"dataset_id": "1", "inputs": {"messages": TURNS}, "outputs": {"answer": "Yo."}},
    "Langfuse data set item": {"id": "1", "input": {"messages": TURNS}, "expectedOutput": "Yo."},
    "Alpaca with system": {"system": "Be brief.", "instruction": "Hi?", "input": "", "output": "Yo."},
    "OpenOrca": {"id": "1", "system_prompt": "Be brief.", "question": "Hi?", "response": "Yo."},
    "TRL prompt and completion": {"prompt": TURNS, "completion": [SAID]},
    "TRL preferences": {"prompt": TURNS, "chosen": [SAID], "rejected": [{"role": "assistant", "content": "No."}]},
    "TRL preferences without prompt": {
        "chosen": [*TURNS, SAID],
        "rejected": [*TURNS, {"role": "assistant", "content": "No."}],
    },
    "columns with turns in text": {"messages": json.dumps(TURNS), "answer": "Yo."},
    "System, Prompt, Response": {"System": "Be brief.", "Prompt": "Hi?", "Response": "Yo."},
}
"""Name -> a row in which a person (or nobody who is named) answered."""
