"""The end of a training: model/ as a plain Hugging Face folder, for LoRA also adapter/, read back before checkpoints are deleted.

Nothing of this is the export to other formats (exporting.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from distil.errors import WorkFailed
from distil.models.export import Figures, merge_adapter, save_plain
from distil.models.load import Loaded, pick_dtype
from distil.models.proofs import copy_fits, unlike_saved, write_ends
from distil.models.shape import model_shape
from distil.models.unwrap import causal_model
from distil.progress import say
from distil.train.checkpoints import mark_complete
from distil.train.examples import Tokenized
from distil.train.job import TrainJob
from distil.train.objective import remove_objective
from distil.train.trainer import DistilTrainer

MERGING = 2.5
"""Bytes free, in copies of the base: two, and what a comparison needs."""

ADAPTER_README = """---
base_model: {base}
library_name: peft
---
# LoRA adapter {name}

Trained with `distil train --as {name}` on {examples:,} examples, on top of {base}. It holds the weights of the adapter, the
tokenizer and the chat template; `../model` is the same student with the adapter merged in.

```python
from distil.models.load import load

student = load("{folder}")
```

`distil export {name} --format adapter` copies this folder. vLLM serves it with `--enable-lora --lora-modules {name}={folder}`.
"""


def save(
    job: TrainJob,
    trainer: DistilTrainer,
    student: Loaded,
    train: Sequence[Tokenized],
    ends: Sequence[int],
    *,
    is_main: bool,
) -> Figures | None:
    """Writes model/ (and adapter/), then deletes the checkpoints. Early stopping's best weights win over the last ones.

    Returns the parity of a merged adapter. Raises WorkFailed when what was saved is not what was trained; a checkpoint of the
    last step is kept then.
    """
    remove_objective(student.model)
    best, adapter, last = job.folder / "best", job.folder / "adapter", job.folder / ".saving"
    model, tokenizer = job.folder / "model", student.tokenizer
    if is_main:
        shutil.rmtree(last, ignore_errors=True)
    weights = best if best.exists() else last
    if weights is last:
        trainer.save_model(str(last))  # in every process: sharded weights are gathered
    if not is_main:
        return None
    parity = None
    if job.student.adapter == "lora":
        shutil.rmtree(adapter, ignore_errors=True)
        shutil.copytree(weights, adapter, ignore=shutil.ignore_patterns("training_args.bin", "README.md"))
        tokenizer.save_pretrained(adapter)
        write_ends(adapter, ends)
        facts = {"base": job.student.model, "name": job.name, "examples": len(train), "folder": adapter}
        (adapter / "README.md").write_text(ADAPTER_README.format(**facts), encoding="utf-8")
        prompts = [e.input_ids[: e.prompt_length] for e in train[:8]]
        where, dtype = _room_for_merging(job, student)
        parity = merge_adapter(job.student.model, adapter, model, prompts=prompts, dtype=dtype, device=where)
        write_ends(model, ends)
    else:
        save_plain(weights, model, tokenizer)
        write_ends(model, ends)
        if weights is last:
            _require_equal(trainer, student, model)
    for path in (last, best, job.folder / "checkpoints"):
        shutil.rmtree(path, ignore_errors=True)
    return parity


def _room_for_merging(job: TrainJob, student: Loaded) -> tuple[str | None, str]:
    """(device, dtype) for two more copies of the base: in RAM where the GPU of the training has no room, as with 4 bits."""
    dtype = job.student.dtype
    shape = model_shape(job.student.model)
    if student.device.type != "cuda" or shape is None:
        return None, dtype
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(student.device)
    whole = pick_dtype(dtype, student.device)
    if free > MERGING * whole.itemsize * shape.parameters:
        return None, dtype
    say(
        "The GPU has no room for two more copies of the student: the adapter is merged and compared in RAM, which takes longer."
    )
    return "cpu", str(whole).removeprefix("torch.")


def _require_equal(trainer: DistilTrainer, student: Loaded, saved: Path) -> None:
    """What was saved must be what is in memory, tensor by tensor (where it isn't sharded and a second copy fits)."""
    model = causal_model(student.model)
    if trainer.sharded or trainer.is_deepspeed_enabled or not copy_fits(model.parameters()):
        return
    faults = unlike_saved(model, saved)
    if faults:
        kept = trainer.keep_checkpoint()
        mark_complete(kept)
        raise WorkFailed(
            f"The trained student could not be saved whole: once read back, {'; '.join(faults)}. Its weights are kept in {kept}. "
            "This is a fault of Distil or of transformers with this family; please report it."
        )
