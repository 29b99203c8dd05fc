"""Answers that were not made here: `--answers FILE|http://HOST/v1#NAME|provider/NAME`, and which test prompt each one answers.

A file is matched to the test prompts by prompt id or by what was asked; what matches nothing, is missing or is there twice is
counted and said. A model is asked through remote.py. Not the scoring.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from distil.calls.faults import GarbledReply
from distil.calls.providers.catalog import PROVIDERS
from distil.calls.providers.recorded_lines import Parts, message_keys, parse_recorded, split_line
from distil.calls.request import JsonObject
from distil.errors import UserError, did_you_mean
from distil.ids import content_id
from distil.records import Example, Message, Prediction
from distil.runs.artifacts import Project
from distil.runs.jsonl import describe
from distil.runs.schemas.summary import Speed
from distil.sources.files import open_source
from distil.text import conversation_text, prompt_key

RESERVED = ("teacher", "ceiling", "base", "shuffled")
"""Names of the other models in every evaluation."""
PLAIN_NAMES = ("predictions", "samples", "answers", "output", "outputs", "model_outputs")
"""Names of files that say nothing of the model: their folder does."""
OWN_FIELDS = {"prompt_id", "model", "text", "finish_reason", "output_tokens"}
"""A line with these is one of Distil's own predictions."""


class Elsewhere(NamedTuple):
    """Where a student's answers come from when it was not trained here."""

    model: str | None
    """A model behind an API, as the config would name it; None = a file."""
    path: Path | None
    """A file of answers."""
    generator: str | None
    """FILE#GENERATOR: which model's answers in a file of several."""
    reference: str
    """What to type after --answers to get the same again, from the project's folder."""

    @property
    def name(self) -> str:
        """A name for the student where --as gives none: the generator's, the model's, or the file's."""
        if self.path is None:
            last = re.split(r"[#/]", self.reference)[-1]
        elif self.generator:
            last = self.generator
        else:
            plain = self.path.stem in PLAIN_NAMES or self.path.stem.startswith("samples_")
            last = self.path.resolve().parent.name if plain else self.path.stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "student"


class Given(NamedTuple):
    """The answers of a student that was not trained here."""

    predictions: list[Prediction]
    """At most one per test prompt, in the order of the test prompts."""
    identity: str
    """Changes whenever another student answers."""
    notes: list[str]
    """For a person: what was left out or is missing."""
    usd: float = 0.0
    """Paid now."""
    usd_per_1000: float | None = None
    """Price of 1,000 requests like the test prompts; None where nothing was billed."""
    speed: Speed | None = None
    """Latencies, where a server answered."""
    complete: bool = True
    """False: the next run may get more."""
    missing: tuple[str, ...] = ()
    """What a model was asked for and did not give, in words."""


def check_name(name: str) -> str:
    """A name that can be a folder's. Raises UserError on any other."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is None:
        raise UserError(f"--as {name!r}: expected a name of letters, digits, '.', '_' and '-', such as --as vicuna-7b.")
    return name


def elsewhere(answers: str, project: Project) -> Elsewhere:
    """What --answers names. Raises UserError that lists what is possible."""
    if answers.startswith(("http://", "https://")):
        return Elsewhere(answers, None, None, answers)
    given = answers.removeprefix("recorded/")
    for text, generator in ((given, None), given.rpartition("#")[::2]):
        for folder in (Path.cwd(), project.root):
            path = folder / text
            if text and generator != "" and path.is_file():
                place = project.relative(path)
                return Elsewhere(None, path, generator, f"{place}#{generator}" if generator else place)
    prefix = answers.partition("/")[0]
    if "/" in answers and prefix in PROVIDERS and prefix != "recorded":
        return Elsewhere(answers, None, None, answers)
    looked = " or ".join(dict.fromkeys(str(folder / given) for folder in (Path.cwd(), project.root)))
    hint = did_you_mean(prefix, PROVIDERS) if "/" in answers else ""
    raise UserError(
        f"--answers {answers}: there is no such file ({looked}), and it names no provider.{hint} Expected a file of answers "
        "(JSON Lines, JSON, CSV, Parquet), http://HOST:PORT/v1#NAME, or PROVIDER/NAME such as openai/gpt-5-mini."
    )


def from_file(source: Elsewhere, examples: Sequence[Example], name: str) -> Given:
    """The answers of a file to the test prompts. Raises UserError on a broken line, several generators, or no match at all."""
    assert source.path is not None
    finder = _Finder(examples)
    counts: Counter[str] = Counter()
    taken: dict[str, Prediction] = {}
    stray: str | None = None
    generators: set[str] = set()
    for where, line in open_source(source.path, setting="--answers"):
        try:
            parts = split_line(line)
        except ValidationError as error:
            raise UserError(f"{where}: {describe(error)}. Fix or delete that row and run again.") from None
        if parts.generator in RESERVED and line.keys() >= OWN_FIELDS and source.generator is None:
            continue  # the teacher's and the base's rows of another evaluation
        if source.generator is not None and parts.generator != source.generator:
            generators |= {parts.generator} if parts.generator else set()
            continue
        generators |= {parts.generator} if parts.generator else set()
        counts["rows"] += 1
        if not parts.prompt_id and not parts.asked:
            raise UserError(_no_prompt(where, line))
        found = finder.find(parts)
        if len(found) != 1:
            counts["ambiguous" if found else "stray"] += 1
            stray = stray if stray or found else where
            continue
        prediction = _prediction(where, line, parts, finder.examples[found[0]], name)
        if prediction is None:
            counts["empty"] += 1
        elif prediction.prompt_id in taken:
            counts["again"] += 1
        else:
            taken[prediction.prompt_id] = prediction
    if source.generator is None and len(generators) > 1:
        raise UserError(_several(source.path, sorted(generators)))
    if not taken:
        raise UserError(_nothing(source, counts, generators, examples))
    predictions = [taken[example.prompt_id] for example in examples if example.prompt_id in taken]
    content = [[p.prompt_id, p.text, p.tool_calls] for p in predictions]
    return Given(predictions, content_id("answers", content), _notes(source.path, counts, len(taken), examples, stray))


class _Finder:
    """From a row to the test prompts that it can be an answer to."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = {example.prompt_id: example for example in examples}
        self._by_key: dict[bytes | str, list[str]] = {}
        for example in examples:
            for key in _keys(example.prompt_messages):
                self._by_key.setdefault(key, []).append(example.prompt_id)

    def find(self, parts: Parts) -> list[str]:
        """Prompt ids: one where it is clear, several where prompts differ only in what the row does not say, none."""
        if parts.prompt_id in self.examples:
            return [parts.prompt_id]
        for key in (key for messages in parts.asked for key in _keys(messages)):
            if found := self._by_key.get(key):
                return found
        return []


def _keys(messages: list[Message]) -> Iterable[bytes | str]:
    return [*message_keys(messages), prompt_key(messages)]


def _prediction(where: str, line: JsonObject, parts: Parts, example: Example, name: str) -> Prediction | None:
    """None when the row holds no answer."""
    if parts.answer is None:
        return None
    identity = content_id("prediction", [example.prompt_id, name, 0])
    try:
        if line.keys() >= OWN_FIELDS:
            own = {key: value for key, value in line.items() if key != "schema"}
            return Prediction.model_validate(own | {"id": identity, "model": name, "sample": 0})
        parsed = parse_recorded(line, parts.answer, example.prompt_messages)
        return Prediction(
            id=identity,
            prompt_id=example.prompt_id,
            model=name,
            text=parsed.text,
            tool_calls=parsed.tool_calls,
            finish_reason=parsed.finish_reason,
            output_tokens=parsed.usage.output_tokens if _has_usage(line, parts) else len(parsed.text.split()),
        )
    except ValidationError as error:
        raise UserError(f"{where}: {describe(error)}. Fix or delete that row and run again.") from None
    except GarbledReply as error:
        raise UserError(f"{where}: {error}. Fix or delete that row and run again.") from None


def _has_usage(line: JsonObject, parts: Parts) -> bool:
    body = parts.answer if isinstance(parts.answer, dict) else {}
    return bool(line.get("usage") or body.get("usage") or (body.get("body") or {}).get("usage"))


def _notes(path: Path, counts: Counter[str], taken: int, examples: Sequence[Example], stray: str | None) -> list[str]:
    left_out = []
    if counts["stray"]:
        left_out.append(f"{counts['stray']:,} rows answer no test prompt (the first: {stray})")
    if counts["ambiguous"]:
        left_out.append(f"{counts['ambiguous']:,} rows fit several test prompts (give them a prompt_id)")
    if counts["again"]:
        left_out.append(f"{counts['again']:,} are further answers to a prompt that had one already (the first counts)")
    if counts["empty"]:
        left_out.append(f"{counts['empty']:,} hold no answer")
    missing = len(examples) - taken
    found = f"{path.name}: {taken:,} of {len(examples):,} test prompts have an answer"
    if missing:
        found += f", {missing:,} have none"
    return [f"{found}. Left out: {'; '.join(left_out)}." if left_out else f"{found}."] if left_out or missing else []


def _no_prompt(where: str, line: JsonObject) -> str:
    return (
        f"{where}: found the fields {', '.join(sorted(line)) or 'none'}; expected a prompt and an answer, as "
        '{"prompt": ..., "output": ...}, {"prompt_id": ..., "text": ...}, {"messages": [..., {"role": "assistant"}]}, a line of '
        "OpenAI's batch output, or a sample of lm-evaluation-harness."
    )


def _several(path: Path, generators: list[str]) -> str:
    names = ", ".join(generators[:6])
    return f"{path} holds the answers of {len(generators)} models ({names}). Choose one: --answers '{path}#{generators[0]}'."


def _nothing(source: Elsewhere, counts: Counter[str], generators: set[str], examples: Sequence[Example]) -> str:
    if source.generator is not None and not counts["rows"]:
        known = f" It has: {', '.join(sorted(generators))}." if generators else " No row of it says who answered."
        return (
            f"{source.path} has no answers of {source.generator!r}.{known}{did_you_mean(source.generator, generators)}"
        )
    first = " ".join(conversation_text(examples[0].prompt_messages).split())[:80]
    return (
        f"{source.path}: none of its {counts['rows']:,} rows is an answer to one of the {len(examples):,} test prompts "
        f"({counts['empty']:,} hold no answer). Rows are matched by prompt id, or by the prompt's text, such as {first!r}. "
        "Ask the student the prompts of `distil view test`, and write prompt_id or prompt beside each answer."
    )
