"""A model larger than one device: its layers over several GPUs, then the machine's memory, then the disk (accelerate's offload).

Only for models that are read and not trained: a teacher. Input embedding and output layer stay on the main device, because the
losses multiply with the output layer themselves. Layers that are not on a GPU are brought there for every pass, which is slow.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distil.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

DISK = "disk"


@dataclass(frozen=True)
class Spread:
    """How much of each device a spread model may take."""

    memory: Mapping[str, str] | None = None
    """Device ("0" for the first GPU, "cpu") -> size ("20GiB"); None = what is free. What fits nowhere goes to the disk."""


def spread_options(config: Any, spread: Spread, main: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The arguments of from_pretrained that place a model of this config. Raises UserError for sizes that can't be read."""
    places = _places(config, spread, main, dtype)
    options: dict[str, Any] = {"device_map": places}
    if DISK in places.values():
        options["offload_folder"] = tempfile.mkdtemp(prefix="distil-offload-")
    return options


def remove_with(model: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Deletes the folder of what is on the disk together with the model."""
    folder = options.get("offload_folder")
    if folder is not None:
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)


def spread_of(teacher_memory: str | Mapping[str, str] | None) -> Spread | None:
    """What `teacher_memory` of the config means; None = one device."""
    if teacher_memory is None:
        return None
    return Spread(None if isinstance(teacher_memory, str) else teacher_memory)


def describe(model: PreTrainedModel) -> str:
    """Where the parts lie, for a person: "24 parts on cuda:0, 8 on cpu"."""
    counts: dict[str, int] = {}
    for place in (getattr(model, "hf_device_map", None) or {}).values():
        name = f"cuda:{place}" if isinstance(place, int) else str(place)
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} parts on {name}" for name, count in counts.items()) or "all on one device"


def _places(config: Any, spread: Spread, main: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Module -> device, with the modules at both ends on the main device."""
    from accelerate import infer_auto_device_map, init_empty_weights
    from accelerate.utils import compute_module_sizes, get_max_memory
    from transformers import AutoModelForCausalLM

    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.tie_weights()
    here: Any = main.index if main.type == "cuda" else main.type
    try:
        memory = dict(get_max_memory(_by_device(spread.memory)))
    except ValueError as error:
        raise UserError(
            f"teacher_memory is {dict(spread.memory or {})}, which can't be read ({str(error).rstrip('.')}). Write a size for "
            "each device, such as {'0': 20GiB, cpu: 60GiB}, or auto."
        ) from error
    ends = _ends(model)
    sizes = compute_module_sizes(model, dtype=dtype)
    needed = sum(sizes[name] for name in ends)
    memory[here] = max(0, memory.get(here, 0) - needed)
    places = infer_auto_device_map(
        model, max_memory=memory, no_split_module_classes=_whole_blocks(model), dtype=dtype, clean_result=False
    )
    return places | dict.fromkeys(ends, here) if set(places) != {""} else places


def _by_device(memory: Mapping[str, str] | None) -> dict[Any, str] | None:
    """Names as accelerate wants them: GPUs are numbers."""
    if memory is None:
        return None
    return {int(name) if name.isdigit() else name: size for name, size in memory.items()}


def _ends(model: PreTrainedModel) -> list[str]:
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    return [name for name, module in model.named_modules() if any(module is end for end in ends)]


def _whole_blocks(model: PreTrainedModel) -> list[str]:
    """The classes of the layers, which stay in one piece; of further models inside, too."""
    return sorted({name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()})
