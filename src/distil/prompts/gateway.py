"""Requests that the gateway captured become prompts: work/serve/captured.jsonl into work/prompts/gateway.jsonl.

Only what was added since the last time is read. What the student passed on to the teacher is the hard part of the traffic: such
prompts are trained on and never tested on, except for a random share as large as that of the audited ones (serve.audit). Both
together are a fair sample of the traffic, which curate may put on any side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

from distil.errors import UserError
from distil.prompts.rows import to_prompt
from distil.records import Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_document, write_json, write_records
from distil.runs.schemas.gateway_prompts import GatewayPrompt, GatewayRead, read_gateway_prompts
from distil.sources.values import Row
from distil.text import parse_json

HEAD = 4_096
"""Bytes of the first line by which the file is known again."""
MAX_EXAMPLES = 3
ASKED = ("messages", "tools", "tool_choice", "response_format")
SOURCE = {"source": "gateway"}
"""The column that marks these prompts, which an evaluation can be sliced by."""


class GatewayTaken(Record):
    """What was taken from the captured requests."""

    read: int
    """New lines."""
    taken: int
    """Requests that were not there yet."""
    prompts: int
    """Distinct prompts from the gateway, all together."""
    unusable: int
    """Lines that ask nothing that a student could learn (attachments, no text)."""
    examples: tuple[str, ...] = ()
    """Why, for the first few."""

    def lines(self) -> list[str]:
        """Summary for a person."""
        lines = [
            f"From the gateway: {self.read:,} new requests, {self.taken:,} of them not yet here; {self.prompts:,} distinct."
        ]
        if self.unusable:
            lines.append(f"Left out: {self.unusable:,} ({'; '.join(self.examples)}).")
        return lines


def take_captured(project: Project) -> GatewayTaken:
    """Adds the requests that were captured since the last time. Raises UserError when nothing was ever captured."""
    source = project.captured
    if not source.exists():
        raise UserError(
            f"The gateway has captured nothing: {project.relative(source)} is not there. Run `distil serve` with "
            "serve.capture: true first."
        )
    end, read, reasons = _already_read(project), 0, list[str]()
    known = list(read_gateway_prompts(project.gateway_prompts))
    before, seen = len(known), {_identity(one) for one in known}
    for line, start in _lines(source, end):
        end = start + len(line)
        read += 1
        try:
            one = _prompt_of(line, f"{source.name}, byte {start}")
        except UserError as error:
            reasons.append(str(error))
            continue
        if _identity(one) not in seen:
            seen.add(_identity(one))
            known.append(one)
    if len(known) > before:
        write_records(project.gateway_prompts, known)
    write_json(project.gateway_read, GatewayRead(bytes=end, head=_head(source)).model_dump(mode="json"))
    return GatewayTaken(
        read=read,
        taken=len(known) - before,
        prompts=len({one.prompt.id for one in known}),
        unusable=len(reasons),
        examples=tuple(reasons[:MAX_EXAMPLES]),
    )


def _already_read(project: Project) -> int:
    """The byte where the new lines begin."""
    if not project.gateway_read.exists() or not project.gateway_prompts.exists():
        return 0
    mark = read_document(project.gateway_read, GatewayRead, command="distil collect --from-gateway")
    same = mark.head == _head(project.captured) and mark.bytes <= project.captured.stat().st_size
    return mark.bytes if same else 0


def _head(path: Path) -> str:
    """Hash of the first line, which stays while the file grows."""
    with path.open("rb") as file:
        return blake2b(file.readline(HEAD), digest_size=8).hexdigest()


def _lines(path: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """(line, its first byte) of each whole line from `start` on: a gateway may be writing the last one."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line, start
            start += len(line)


def _identity(one: GatewayPrompt) -> tuple[str, str]:
    return one.prompt.id, one.call_id


def _prompt_of(line: bytes, where: str) -> GatewayPrompt:
    """Raises UserError for a line that can't become a prompt."""
    value = parse_json(line.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise UserError(f"{where}: not a JSON object")
    captured = value.get("captured")
    known = captured if isinstance(captured, dict) else {}
    split = {} if _fair(known, line) else {"split": "train"}
    fields = {name: value[name] for name in ASKED if name in value}
    loaded = to_prompt(Row(where, fields | SOURCE | split), None, "leave_out")
    if loaded.prompt is None:
        raise UserError(f"{where}: {loaded.skipped}")
    sampling = known.get("sampling")
    return GatewayPrompt(
        prompt=loaded.prompt,
        request_id=_text(known.get("id")),
        teacher=_text(known.get("model")),
        call_id=_text(known.get("call")),
        finish_reason=_text(known.get("finish_reason")),
        sampling=sampling if isinstance(sampling, dict) else {},
    )


def _fair(captured: Mapping[str, object], line: bytes) -> bool:
    """Whether a request belongs to the fair sample: an audit does; of the others as large a share, chosen by the line's hash."""
    probability, share = captured.get("probability"), captured.get("share")
    if not isinstance(probability, (int, float)) or not isinstance(share, (int, float)) or not 0 < probability <= 1:
        return False
    chance = int(blake2b(line, digest_size=7).hexdigest(), 16) / 16**14
    return chance < share / probability


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
