"""Signal `tool_calls`: calls that a program could not carry out, and calls where none is wanted (or the other way round)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from distil.curate.evidence.corpus import Corpus
from distil.curate.evidence.found import Found
from distil.curate.evidence.requirements import unnamed_keys
from distil.errors import UserError, did_you_mean
from distil.json_schema import fault_of
from distil.records import Answer, Prompt
from distil.text import one_line, read_call


def tool_calls(prompt: Prompt, answer: Answer, corpus: Corpus) -> Found | None:
    """Tool calls that no program could carry out. Raises UserError for a tool whose schema is none."""
    fault = call_fault(prompt, answer) or _earlier_fault(prompt)
    return _unnamed(prompt, answer) if fault is None else Found(1, fault)


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
    repeated = [str(key) for key, n in Counter(call.get("id") for call in calls if call.get("id")).items() if n > 1]
    if repeated:
        return f"two calls have the id {one_line(repeated[0], 60)!r}, so that their results can't be told apart"
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


def _earlier_fault(prompt: Prompt) -> str | None:
    """A call in an earlier turn that a student would learn and that nobody can read."""
    for turn in prompt.messages:
        for call in turn.tool_calls or () if turn.weight != 0 else ():
            name, arguments = read_call(call)
            if not isinstance(arguments, dict):
                return f"the prompt has a call of {name} whose arguments can't be read as a JSON object"
    return None


def _unnamed(prompt: Prompt, answer: Answer) -> Found | None:
    """Arguments that a tool's schema neither names nor forbids: suspicious, and a fault where the tool is strict."""
    known = {str(tool.get("name")): tool for tool in map(_function, prompt.tools or [])}
    for name, arguments in map(read_call, answer.tool_calls or []):
        schema = known[name].get("parameters")
        found = (
            unnamed_keys(schema, arguments, strict=known[name].get("strict") is True)
            if isinstance(schema, Mapping)
            else None
        )
        if found is not None:
            return found._replace(detail=f"the call of {name} {found.detail}")
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
