"""A trained student as files that others load: a merged safetensors folder, an adapter alone, GGUF.

transformers, vLLM, SGLang and TGI load the folder as it is; GGUF (gguf/) is for llama.cpp, Ollama and LM Studio.
Every export is compared with the trained student (parity.py) and refused where it differs; the figures are kept beside it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distil.errors import UserError, WorkFailed
from distil.models import parity
from distil.models.gguf.check import compare_gguf
from distil.models.gguf.write import write_gguf
from distil.models.load import Loaded, load, load_tokenizer, pick_device, pick_dtype, quiet
from distil.runs.jsonl import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMATS = ("folder", "adapter", "gguf")
DTYPES = ("float32", "bfloat16", "float16")
PARITY = "parity.json"
"""How an export compares: in its folder, beside a GGUF file as NAME.parity.json."""
Figures = dict[str, float | bool | list[str] | None]
LEFT_OUT = ("training_args.bin", "optimizer.pt", "rng_state*", "README.md", ".lock")


def save_plain(source: Path, target: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Copies a saved model as `target`, with its tokenizer and without a trainer's files. Replaces `target` at the end."""
    building = target.with_name(f".{target.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building, ignore=shutil.ignore_patterns(*LEFT_OUT))
    tokenizer.save_pretrained(building)
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)


def merge_adapter(
    base: str,
    adapter: Path,
    target: Path,
    *,
    prompts: Sequence[list[int]],
    dtype: str = "auto",
    device: str | None = None,
) -> Figures:
    """Merges a LoRA adapter into its base and writes a plain folder, if the merged model equals base + adapter on `prompts`.

    dtype: that of the training. A base is loaded in full precision where it was trained in 4 bits. Where 16 bits are too coarse
    for the merged weights, it is merged in float32. Returns the parity figures. Raises WorkFailed on a mismatch; then `target` is
    not written, and the adapter is as it was.
    """
    where = pick_device(device)
    coarse = pick_dtype(dtype, where).itemsize < 4
    try:
        return _merge(base, adapter, target, prompts, dtype, device)
    except WorkFailed as failed:
        if coarse:
            return _merge(base, adapter, target, prompts, "float32", device)
        raise WorkFailed(
            f"{failed} The training is not lost: its adapter is in {adapter}, and transformers and vLLM load it on its base."
        ) from failed


def _merge(
    base: str, adapter: Path, target: Path, prompts: Sequence[list[int]], dtype: str, device: str | None
) -> Figures:
    quiet()
    trained = load(base, dtype=dtype, adapter=str(adapter), device=device)
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(adapter)) if has_tokenizer else trained.tokenizer
    merged = load(base, dtype=dtype, adapter=str(adapter), device=device).model.merge_and_unload().eval()
    candidate = Loaded(merged, tokenizer, str(target), trained.device)
    result = parity.compare(Loaded(trained.model, tokenizer, trained.ref, trained.device), candidate, prompts)
    parity.require(result)
    building = target.with_name(f".{target.name}.merging")
    shutil.rmtree(building, ignore_errors=True)
    merged.save_pretrained(building)
    save_plain(building, target, tokenizer)
    shutil.rmtree(building, ignore_errors=True)
    return _figures(result)


def export(
    model: Path,
    target: Path,
    *,
    prompts: Sequence[list[int]],
    kind: str = "folder",
    dtype: str | None = None,
    adapter: Path | None = None,
    accept: bool = False,
) -> Figures:
    """Exports a trained student to `target` and returns the parity figures.

    kind: folder (merged safetensors; `dtype` float32 | bfloat16 | float16 casts it), adapter (needs `adapter`), or gguf (`target`
    is the file; `dtype` f32 | f16 | q8_0, default f16). Raises UserError for what can't be done here, WorkFailed when the result
    isn't the trained student, and then nothing is left at `target`. accept: its distributions may differ; the figures are kept in
    parity.json beside it in any case.
    """
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise UserError(f"{target} already exists and is not empty. Give another path, or remove it.")
    if kind == "gguf":
        return _gguf(model, target, prompts, dtype or "f16", accept)
    if kind == "adapter":
        if dtype is not None:
            raise UserError("An adapter is copied as it was trained; leave --dtype out.")
        if adapter is None or not adapter.is_dir():
            raise UserError(
                "This student has no adapter (it was not trained with student.adapter: lora). Export it as a folder."
            )
        shutil.copytree(adapter, target, dirs_exist_ok=True)
        return {}
    if kind != "folder":
        raise UserError(f"The export format {kind!r} is not known; expected one of {', '.join(FORMATS)}.")
    return _folder(model, target, prompts, dtype, accept)


def _folder(model: Path, target: Path, prompts: Sequence[list[int]], dtype: str | None, accept: bool) -> Figures:
    if dtype not in (None, *DTYPES):
        raise UserError(
            f"A safetensors folder of type {dtype!r} can't be written; expected one of {', '.join(DTYPES)}."
        )
    quiet()
    trained = load(str(model))
    building = target.with_name(f".{target.name}.exporting")
    shutil.rmtree(building, ignore_errors=True)
    cast = load(str(model), dtype=dtype or "auto")
    cast.model.save_pretrained(building)
    cast.tokenizer.save_pretrained(building)
    try:
        reloaded = load(str(building), dtype=dtype or "auto")
        result = parity.compare(trained, reloaded, prompts)
        parity.require(result, accept=accept)
        write_json(building / PARITY, _figures(result))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return _figures(result)


def _gguf(model: Path, target: Path, prompts: Sequence[list[int]], dtype: str, accept: bool) -> Figures:
    quiet()
    trained = load(str(model), dtype="float32", device="cpu")
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".{target.stem}.exporting.gguf")
    try:
        write_gguf(trained, building, dtype=dtype, name=target.stem)
        result = compare_gguf(trained, building, prompts)
        parity.require(result, accept=accept)
        building.rename(target)
        write_json(target.with_suffix(f".{PARITY}"), _figures(result))
    finally:
        building.unlink(missing_ok=True)
    return _figures(result)


def _figures(result: parity.Parity) -> Figures:
    """The figures of a comparison, with what was accepted although it differs."""
    return {**result.as_dict(), "accepted": parity.differences(result)}
