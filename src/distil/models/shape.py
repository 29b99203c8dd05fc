"""How large is a model? Counted exactly from its config on torch's meta device, or guessed from its name, and said so.

The config comes from the folder or from the hub's cache on this machine; nothing is downloaded and no weight is read. A folder
with plain safetensors files is counted from their headers, without torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from distil.bundled.paths import MODELS
from distil.models.hub import cached

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
CHOSEN_EXPERTS = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk")
LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, by the format's own limit."""
GUESSED_VOCABULARY = 128_000
HEAD_SIZE = 128  # of the attention heads of a guessed model


class Shape(NamedTuple):
    """The size of a model."""

    parameters: int
    hidden: int
    layers: int
    source: str
    """config.json | the name."""
    vocabulary: int = 0
    embedding: int = 0
    """Parameters of the embedding and, where it is not tied to it, the output layer."""
    active: int = 0
    """Parameters that take part in one token: fewer than all in a mixture of experts."""
    config: str = ""
    """Its config as JSON, from which its memory is traced."""

    @property
    def guessed(self) -> bool:
        """Whether only its name says its size."""
        return self.source == "the name"


def model_shape(ref: str) -> Shape | None:
    """Size of `bundled/...`, a folder, or a hub id in the cache; else what its name says (Qwen3-0.6B). None = unknown."""
    folder = model_folder(ref)
    file = folder / "config.json" if folder.is_dir() else cached(ref.removeprefix("local/"), "config.json")
    if folder.is_dir() and file is not None and not file.exists() and (folder / "adapter_config.json").exists():
        base = _object((folder / "adapter_config.json").read_text(encoding="utf-8", errors="replace"))
        name = base.get("base_model_name_or_path")
        return model_shape(name) if isinstance(name, str) and name != ref else _from_name(ref)
    if file is not None and file.exists():
        text = file.read_text(encoding="utf-8", errors="replace")
        found = _from_config(text, _stored_parameters(file.parent))
        if found is not None:
            return found
    return _from_name(ref)


def model_folder(ref: str) -> Path:
    """Where a local model is, if it is on this machine: `bundled/...`, `local/...`, or a folder, such as one under ~."""
    if ref.startswith("bundled/"):
        return MODELS / ref.removeprefix("bundled/")
    return Path(ref.removeprefix("local/")).expanduser()


@lru_cache(maxsize=64)
def _from_config(text: str, stored: int) -> Shape | None:
    """None where the config can't be read, or says no size and transformers does not know its family."""
    data = _object(text)
    within = data.get("text_config")
    inner = {**data, **within} if isinstance(within, dict) else data
    parameters = stored if stored and "quantization_config" not in data else counted(text)
    hidden, layers = whole(inner, "hidden_size", "n_embd", "d_model"), whole(inner, "num_hidden_layers", "n_layer")
    if not parameters or not hidden or not layers:
        return None
    vocabulary = whole(inner, "vocab_size")
    tied = inner["tie_word_embeddings"] if "tie_word_embeddings" in inner else _tied_by_default(text)
    embedding = vocabulary * hidden * (1 if tied else 2)
    active = _active(inner, parameters, hidden, layers)
    return Shape(parameters, hidden, layers, "config.json", vocabulary, embedding, active, text)


def _object(text: str) -> dict[str, object]:
    """What a JSON file holds; nothing where it is broken or holds something else."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def counted(text: str) -> int:
    """Parameters of the model that transformers makes of a config, tied ones once; 0 where it makes none, or is not installed."""
    config = config_of(text)
    if config is None:
        return 0
    try:
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:  # what a family's own code raises on a config that is not of its kind
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def config_of(text: str) -> object | None:
    """transformers' config of a config.json; None for a family that it does not know, and where it is not installed."""
    data = _object(text)
    data.pop("quantization_config", None)
    family = data.pop("model_type", None)
    try:
        from transformers import AutoConfig

        return AutoConfig.for_model(family, **data) if isinstance(family, str) else None
    except Exception:  # not a family, or a check of its own that the config does not pass
        return None


@lru_cache(maxsize=64)
def _tied_by_default(text: str) -> bool:
    return bool(getattr(config_of(text), "tie_word_embeddings", False))


def whole(data: Mapping[str, object], *names: str) -> int:
    """The first whole number of these names in a config; 0 where it has none."""
    return next((value for name in names if isinstance(value := data.get(name), int)), 0)


def _active(data: dict[str, object], parameters: int, hidden: int, layers: int) -> int:
    """Without the experts that a token does not choose: each has a gated feed-forward of three matrices."""
    experts, chosen = whole(data, *EXPERTS), whole(data, *CHOSEN_EXPERTS)
    if not experts or not chosen or chosen >= experts:
        return parameters
    inner = whole(data, "moe_intermediate_size", "intermediate_size")
    dense = whole(data, "first_k_dense_replace")
    return max(parameters - (layers - dense) * (experts - chosen) * 3 * hidden * inner, parameters // experts)


def _stored_parameters(folder: Path) -> int:
    """Parameters in the safetensors files of a folder, from their headers alone; 0 where a file is missing or is not one."""
    try:
        return sum(_in_header(file) for file in _weight_files(folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # not there; not a header
        return 0


def _weight_files(folder: Path) -> list[Path]:
    """Those that make up the model: a folder may have its weights a second time (Mistral's consolidated.safetensors)."""
    index, whole = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists():
        return [
            folder / name for name in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        ]
    if whole.exists():
        return [whole]
    found = [file for file in folder.glob("*.safetensors") if file.name != "adapter_model.safetensors"]
    parts = [int(match[1]) for file in found if (match := re.search(r"-of-(\d+)$", file.stem))]
    return found if not parts or len(parts) == max(parts) else []


def _in_header(file: Path) -> int:
    """Raises ValueError for another file, such as the pointer that git leaves without git-lfs."""
    with file.open("rb") as stream:
        first, size = stream.read(8), file.stat().st_size
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > min(size - 8, LONGEST_HEADER):
            raise ValueError(f"{file}: not a safetensors file")
        header: dict[str, dict[str, list[int]]] = json.loads(stream.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _from_name(ref: str) -> Shape | None:
    """A Llama of the size that the name says (for 30B-A3B: 30B, of which 3B are active); a guess."""
    words = ref.replace("-", " ").replace("_", " ")
    match = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([bBmM])(?![a-zA-Z])", words)
    if not match:
        return None
    parameters = _number(match)
    active = re.search(r"(?<!\w)A(\d+(?:\.\d+)?)([bB])(?![a-zA-Z])", words)
    compute = _number(active) if active else parameters
    layers = max(4, round(8 * (compute / 1e8) ** 0.35))
    hidden = max(HEAD_SIZE, round((compute / (12.5 * layers)) ** 0.5 / HEAD_SIZE) * HEAD_SIZE)
    vocabulary = GUESSED_VOCABULARY if parameters > 5e8 else 50_000
    tied = parameters < 4e9
    config = {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": 7 * hidden // 2,
        "num_attention_heads": hidden // HEAD_SIZE,
        "num_key_value_heads": max(1, hidden // HEAD_SIZE // 4)
        if (hidden // HEAD_SIZE) % 4 == 0
        else hidden // HEAD_SIZE,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }
    embedding = min(vocabulary * hidden * (1 if tied else 2), parameters // 2)
    return Shape(parameters, hidden, layers, "the name", vocabulary, embedding, compute, json.dumps(config))


def _number(match: re.Match[str]) -> int:
    return int(float(match[1]) * (1e9 if match[2] in "bB" else 1e6))
