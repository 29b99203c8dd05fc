"""What was asked: a request of any provider, or a list of turns, in OpenAI's chat terms.

OpenAI's chat and Responses APIs, Anthropic (`system` beside the turns), Gemini, Bedrock's Converse, and what SDKs and
LangChain make of them. Settings such as the temperature are not part of a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from distil.calls.request import JsonObject
from distil.sources.turns import LISTS, read_turns, system_text, turn_list
from distil.sources.values import first_text, mapping, objects, parsed

INSIDE = ("body", "request_body", "request", "json", "params", "kwargs", "data", "modelInput", "inputBodyJson")
"""Names under which a request lies inside another object."""
SYSTEM = ("system", "system_prompt", "systemInstruction", "system_instruction", "instructions", "system_message")
_PROMPTS = ("prompt", "prompts", "inputs", "inputText", "query", "question")
_SCHEMAS = ("input_schema", "inputSchema", "parameters", "parametersJsonSchema", "parameters_json_schema")
_CHOICES = {"any": "required", "required": "required", "none": "none", "ANY": "required", "NONE": "none"}


class Asked(NamedTuple):
    """A request."""

    turns: list[object]
    """In OpenAI's chat shape where they could be read."""
    tools: object = None
    tool_choice: object = None
    """As records.ToolChoice; None for `auto`."""
    response_format: object = None
    model: str = ""
    """The model that was asked; empty where the request does not say."""


def read_request(value: object, left_out: Counter[str], levels: int = 4) -> Asked | None:
    """None where nothing was asked. left_out: counts what has no place in a chat request."""
    if isinstance(value, str):
        inner = parsed(value)
        found = read_request(inner, left_out, levels) if isinstance(inner, dict) or turn_list(inner) else None
        return found or (Asked(read_turns(value, left_out)) if value.strip() else None)
    if isinstance(value, list):
        return Asked(read_turns(value, left_out)) if value else None
    if not isinstance(value, dict) or not levels:
        return None
    turns = _turns(value, left_out)
    if turns is None:
        for key in INSIDE:
            inner = parsed(value.get(key))
            if isinstance(inner, (dict, list)) and (found := read_request(inner, left_out, levels - 1)) is not None:
                return found if found.model else found._replace(model=_model(value))
        return None
    config = mapping(value.get("config"))  # google-genai keeps the rest there
    system = next((text for key in SYSTEM if (text := system_text(value.get(key) or config.get(key)))), "")
    if system:
        turns = [{"role": "system", "content": system}, *turns]
    return Asked(
        turns,
        _tools(value, config, left_out),
        _tool_choice(value, config),
        _response_format(value, config) or _guided(value, left_out),
        _model(value),
    )


def _model(value: Mapping[str, object]) -> str:
    return first_text(value, ("model", "model_name", "modelId", "deployment")) or ""


def _turns(value: JsonObject, left_out: Counter[str]) -> list[object] | None:
    for key in LISTS:
        found = parsed(value.get(key))
        if isinstance(found, list) and found:
            return read_turns(found, left_out)
    for key in ("contents", "input", *_PROMPTS):
        found = value.get(key)
        if isinstance(found, list) and found:
            texts = all(isinstance(item, str) for item in found)
            return read_turns(found[0] if texts else found, left_out)
        if isinstance(found, dict) and key == "contents":
            return read_turns(found, left_out)
        if isinstance(found, str) and found.strip():
            return read_turns(found, left_out)
    return None


def _tools(value: JsonObject, config: JsonObject, left_out: Counter[str]) -> object:
    found = next((v for v in (value.get("tools"), config.get("tools"), value.get("functions")) if v), None)
    if found is None:
        found = mapping(value.get("toolConfig")).get("tools")
    return tools_of(found, left_out)


def tools_of(found: object, left_out: Counter[str]) -> object:
    """Tool definitions in OpenAI's shape; anything but a list of them stays as it is, and is refused later."""
    found = parsed(found)
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list):
        return found or None
    tools = list[object]()
    for tool in found:
        tool = parsed(tool)
        if not isinstance(tool, dict):
            tools.append(tool)
            continue
        declared = tool.get("functionDeclarations") or tool.get("function_declarations")
        for one in objects(declared) if declared else [tool]:
            made = _tool(one)
            if made is None:
                left_out[f"the provider's own tool {one.get('type') or next(iter(one), '')!r}"] += 1
            else:
                tools.append(made)
    return tools or None


def _tool(tool: JsonObject) -> JsonObject | None:
    """None for a tool that runs at the provider (web search, code, computer use), which no other model has."""
    if "function" in tool or tool == {"type": "function"}:
        return tool
    spec = mapping(tool.get("toolSpec")) or tool
    name = spec.get("name")
    schema = next((spec[key] for key in _SCHEMAS if spec.get(key)), None)
    if not isinstance(name, str) or (schema is None and tool.get("type") not in (None, "function", "custom")):
        return None
    function: JsonObject = {"name": name}
    if spec.get("description"):
        function["description"] = spec["description"]
    schema = mapping(schema).get("json", schema) if "inputSchema" in spec else schema
    function["parameters"] = lowered_types(schema) if isinstance(schema, dict) else {"type": "object", "properties": {}}
    if spec.get("strict") is not None:
        function["strict"] = spec["strict"]
    return {"type": "function", "function": function}


def lowered_types(schema: object) -> object:
    """Gemini writes the types of a schema in capitals."""
    if isinstance(schema, list):
        return [lowered_types(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else lowered_types(value)
        for key, value in schema.items()
    }


def _tool_choice(value: JsonObject, config: JsonObject) -> object:
    choice = value.get("tool_choice")
    if choice is None:
        calling = mapping(mapping(value.get("toolConfig")).get("functionCallingConfig"))
        allowed = calling.get("allowedFunctionNames")
        if isinstance(allowed, list) and len(allowed) == 1:
            return named_tool(str(allowed[0]))
        choice = calling.get("mode") or mapping(value.get("toolConfig")).get("toolChoice") or value.get("function_call")
    return choice_of(choice)


def choice_of(choice: object) -> object:
    """A tool choice as records.ToolChoice. None: the model chooses."""
    if isinstance(choice, str):
        if choice.lower() in ("auto", ""):
            return None
        return _CHOICES.get(choice)
    if not isinstance(choice, dict) or not choice:
        return None
    kind, name = choice.get("type"), choice.get("name")
    if "function" in choice:
        return choice
    if isinstance(mapping(choice.get("tool")).get("name"), str):  # Bedrock
        return named_tool(choice["tool"]["name"])
    if isinstance(name, str) and kind in ("tool", "function", None):
        return named_tool(name)
    word = kind if isinstance(kind, str) else next(iter(choice))
    return choice if word == "allowed_tools" else choice_of(str(word))


def named_tool(name: str) -> JsonObject:
    """The choice of one tool."""
    return {"type": "function", "function": {"name": name}}


def _guided(value: JsonObject, left_out: Counter[str]) -> object:
    """vLLM's structured outputs (docs.vllm.ai: `structured_outputs`, and `guided_*` before 0.12) as a response_format.

    A schema becomes one that every provider takes; a regular expression, choices or a grammar have no form there: counted.
    """
    beside = {**value, **mapping(value.get("extra_body"))}
    given = mapping(parsed(beside.get("structured_outputs"))) or {
        key.removeprefix("guided_"): found for key, found in beside.items() if key.startswith("guided_") and found
    }
    schema = parsed(given.get("json"))
    if isinstance(schema, dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if given.get("json_object"):
        return {"type": "json_object"}
    for kind in ("regex", "choice", "grammar", "structural_tag"):
        if given.get(kind):
            left_out[f"structured_outputs with a {kind}"] += 1
    return None


def _response_format(value: JsonObject, config: JsonObject) -> object:
    if value.get("response_format"):
        return value["response_format"]
    form = mapping(mapping(value.get("text")).get("format")) or mapping(
        mapping(value.get("output_config")).get("format")
    )
    form = form or mapping(value.get("output_format"))
    if form.get("type") == "json_schema" and "json_schema" not in form:
        named = {key: form[key] for key in ("name", "schema", "strict") if key in form}
        return {"type": "json_schema", "json_schema": {"name": "answer", **named}}
    if form.get("type") == "json_object":
        return {"type": "json_object"}
    generation = mapping(value.get("generationConfig")) or mapping(value.get("generation_config")) or config
    names = ("responseJsonSchema", "responseSchema", "response_json_schema", "response_schema")
    schema = next((generation[key] for key in names if isinstance(generation.get(key), dict)), None)
    if schema is not None:
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": lowered_types(schema)}}
    if "application/json" in (generation.get("responseMimeType"), generation.get("response_mime_type")):
        return {"type": "json_object"}
    return None
