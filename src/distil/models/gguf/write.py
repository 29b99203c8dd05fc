"""Writes a student as one GGUF file, the format of llama.cpp, Ollama and LM Studio: Llama, Qwen2 and Qwen3 models.

Names and quantization come from `gguf`, llama.cpp's own package (the extra `distil[gguf]`); check.py compares the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distil.errors import UserError
from distil.models.gguf.tokenizer import Vocabulary, refused, vocabulary_of
from distil.models.load import Loaded, stop_ids
from distil.progress import track

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from numpy.typing import NDArray
    from transformers import PretrainedConfig, PreTrainedModel

    Array = NDArray[np.float32]

ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
"""transformers' model_type -> gguf's architecture."""
TYPES = {"f32": ("F32", "ALL_F32"), "f16": ("F16", "MOSTLY_F16"), "q8_0": ("Q8_0", "MOSTLY_Q8_0")}
"""Our name -> (type of the matrices, file type)."""
ROPES = {"llama": ("default", "linear", "llama3"), "qwen2": ("default", "linear"), "qwen3": ("default", "linear")}


def require_gguf() -> ModuleType:
    """The package `gguf`. Raises UserError when it is not installed."""
    try:
        import gguf
    except ImportError:
        raise UserError(
            "Writing GGUF needs llama.cpp's package gguf, which is not installed. Run `pip install 'distil[gguf]'` (or `pip "
            "install gguf`), or export with `--to safetensors`."
        ) from None
    return gguf


def write_gguf(student: Loaded, target: Path, *, dtype: str = "f16", name: str = "student") -> None:
    """Writes `target`. dtype: f32 | f16 | q8_0, of the matrices; norms and biases stay float32.

    Raises UserError before anything is written for a model or tokenizer that the format can't hold faithfully.
    """
    gguf = require_gguf()
    if dtype not in TYPES:
        raise UserError(f"GGUF of type {dtype!r} can't be written here; expected one of {', '.join(TYPES)}.")
    config = student.model.config
    check_supported(config)
    rows = student.model.get_input_embeddings().weight.shape[0]
    vocabulary = vocabulary_of(student.tokenizer, rows, stop_ids(student.model, student.tokenizer))
    writer = gguf.GGUFWriter(target, config.model_type)
    writer.add_name(name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(gguf.LlamaFileType[TYPES[dtype][1]])
    _add_shape(writer, config, rows)
    _add_vocabulary(writer, vocabulary)
    _add_tensors(gguf, writer, student.model, dtype)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def check_supported(config: PretrainedConfig) -> None:
    """Raises UserError for a model whose mathematics llama.cpp's architecture of that name does not have."""
    kind = config.model_type
    reasons = []
    if kind not in ARCHITECTURES:
        raise refused(f"its architecture is {kind}; expected one of {', '.join(ARCHITECTURES)}")
    rope = dict(config.rope_parameters or {})
    if rope.get("rope_type", "default") not in ROPES[kind]:
        reasons.append(f"its position encoding is {rope['rope_type']}")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        reasons.append("its position encoding covers a part of each head only")
    if config.hidden_act != "silu":
        reasons.append(f"its activation is {config.hidden_act}, not silu")
    if getattr(config, "mlp_bias", False) or (kind != "qwen2" and getattr(config, "attention_bias", False)):
        reasons.append("its layers have biases that this architecture does not have")
    if "sliding_attention" in (getattr(config, "layer_types", None) or []):
        reasons.append("some of its layers see a sliding window only")
    if reasons:
        raise refused(" and ".join(reasons))


def _add_shape(writer: GGUFWriter, config: PretrainedConfig, rows: int) -> None:
    heads = int(config.num_attention_heads)
    head_size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    rope = dict(config.rope_parameters or {})
    writer.add_vocab_size(rows)
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    writer.add_block_count(int(config.num_hidden_layers))
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.num_key_value_heads))
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope.get("rope_type") == "linear":
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for name, index in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(index)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.template)


def _add_tensors(gguf: ModuleType, writer: GGUFWriter, model: PreTrainedModel, dtype: str) -> None:
    config = model.config
    architecture = getattr(gguf.MODEL_ARCH, ARCHITECTURES[config.model_type])
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    if (config.rope_parameters or {}).get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(model))
    for name, tensor in track(list(model.state_dict().items()), "Writing GGUF", unit="tensors"):
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embedding where there is no output matrix
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise refused(f"the format has no name for its weights {name}")
        array = tensor.detach().float().cpu().numpy()
        if config.model_type == "llama" and ".self_attn." in name:
            array = permuted(array, name, config)
        kind = _tensor_type(gguf, array, dtype)
        writer.add_tensor(known, gguf.quants.quantize(array, kind), raw_dtype=kind)


def permuted(array: Array, name: str, config: PretrainedConfig) -> Array:
    """Rows of Llama's query and key matrices in the order of llama.cpp's rotation.

    transformers rotates dimension i of a head with i + d/2, llama.cpp's "llama" rotates 2i with 2i + 1 (as Meta's weights do).
    """
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return array
    halves = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def rope_factors(model: PreTrainedModel) -> Array:
    """(d / 2,) float32: what llama.cpp divides each plain rotation frequency by (Llama 3's long context)."""
    import torch

    actual = model.get_decoder().rotary_emb.inv_freq.detach().float().cpu()
    plain = plain_frequencies(float(model.config.rope_parameters["rope_theta"]), 2 * len(actual))
    return (torch.as_tensor(plain) / actual).numpy()


def plain_frequencies(theta: float, size: int) -> Array:
    """(size / 2,) rotation frequencies of RoPE (Su et al. 2021) for heads of `size` dimensions."""
    import numpy as np

    return (theta ** (-np.arange(0, size, 2, dtype=np.float64) / size)).astype(np.float32)


def _tensor_type(gguf: ModuleType, array: Array, dtype: str) -> GGMLQuantizationType:
    if array.ndim < 2:
        return gguf.GGMLQuantizationType.F32
    if dtype == "q8_0" and array.shape[-1] % 32:  # blocks of 32; what does not fit stays in half precision
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType[TYPES[dtype][0]]
