"""Signal `tool_calls`: calls that a program could not carry out, and calls where none is wanted (or the other way round)."""

from __future__ import annotations

from collections.abc import Mapping

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.errors import UserError, did_you_mean
from distil.json_schema import fault_of
from distil.records import Answer, Prompt
from distil.text import read_call


def tool_calls(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Tool calls that no program could carry out. Raises UserError for a tool whose schema is none."""
    fault = call_fault(prompt, answer)
    return None if fault is None else Found(1, fault)


def call_fault(prompt: Prompt, answer: Answer) -> str | None:
    """A tool that the prompt does not have, arguments that are not a JSON object or break the tool's schema, or a call too many.

    Raises UserError for a tool whose schema is none.
    """
    wanted = _wanted(prompt.tool_choice)
    calls = answer.tool_calls or []
    if not calls:
        return (
            f"no tool call, though the prompt's tool_choice asks for {wanted}" if wanted not in (None, "none") else None
        )
    if wanted == "none":
        return "a tool call, though the prompt's tool_choice is none"
    known = {str(tool.get("name")): tool for tool in map(_function, prompt.tools or [])}
    for call in calls:
        name, arguments = read_call(call)
        if name not in known:
            there = f"the prompt has {', '.join(known)}" if known else "the prompt has no tools"
            return f"calls the tool {name!r}; {there}.{did_you_mean(name, known)}"
        if not isinstance(arguments, dict):
            return f"the arguments of {name} can't be read as a JSON object"
        problem = _against(known[name], arguments, prompt)
        if problem is not None:
            return f"the arguments of {name} break its schema: {problem}"
    if wanted not in (None, "any") and {read_call(call)[0] for call in calls} != {wanted}:
        return f"calls another tool than {wanted}, which the prompt's tool_choice asks for"
    return None


def _against(tool: Mapping[str, object], arguments: object, prompt: Prompt) -> str | None:
    schema = tool.get("parameters")
    if not isinstance(schema, Mapping) or not schema:
        return None
    try:
        return fault_of(schema, arguments)
    except ValueError as error:
        raise UserError(
            f"The tool {tool.get('name')} of prompt {prompt.id} has parameters that are not a JSON schema: {error}. Correct it "
            "in the prompts, or leave the filter tool_calls out of curate.filters."
        ) from None


def _function(tool: Mapping[str, object]) -> Mapping[str, object]:
    inner = tool.get("function", tool)
    return inner if isinstance(inner, Mapping) else {}


def _wanted(choice: object) -> str | None:
    """any | none | the name of a tool, as the prompt's tool_choice demands it; None where the model is free."""
    if isinstance(choice, Mapping):
        return str(_function(choice).get("name"))
    return {"required": "any", "any": "any", "none": "none"}.get(str(choice))
