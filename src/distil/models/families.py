"""Which models Distil can use: causal language models that read text. Others are refused before their weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distil.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

ADVICE = "Distil distills causal language models (decoders that read and write text), such as Qwen/Qwen3-0.6B."


def require_causal(config: PretrainedConfig, ref: str) -> None:
    """Raises UserError, in one paragraph that says what it is, for anything but a causal language model."""
    kind = other_kind(config)
    if kind is not None:
        classes = getattr(config, "architectures", None) or [config.model_type]
        raise UserError(f"{ref} is {kind} ({', '.join(map(str, classes))}), not a causal language model. {ADVICE}")


def other_kind(config: PretrainedConfig) -> str | None:
    """The kind of a model that isn't a causal language model; None for one that is."""
    from transformers.models.auto import modeling_auto as auto

    name = config.model_type
    custom = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})  # code that comes with the model
    causal = name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or custom
    if getattr(config, "is_encoder_decoder", False):
        return "an encoder-decoder"
    one_way = bool(getattr(config, "is_decoder", False) or getattr(config, "causal", False))
    if name in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not one_way:
        return "an encoder, which reads text in both directions and writes none"
    if causal:
        return OTHER_INPUT.get(name)
    for group, what in TASKS.items():
        if name in getattr(auto, f"MODEL_FOR_{group}_MAPPING_NAMES", {}):
            return what
    return f"a model of type {name}, which transformers has no text decoder for"


TASKS = {
    "SEQ_TO_SEQ_CAUSAL_LM": "an encoder-decoder",
    "IMAGE_TEXT_TO_TEXT": "a vision-language model",
    "MULTIMODAL_LM": "a multimodal model",
    "SPEECH_SEQ_2_SEQ": "a speech model",
    "TEXT_ENCODING": "an encoder, which reads text and writes none",
    "IMAGE_CLASSIFICATION": "an image model",
}
"""transformers' lists of classes, by task, for models that no list of causal language models has."""
OTHER_INPUT = {
    "git": "a model that describes images",
    "got_ocr2": "a model that reads images of text",
    "musicgen": "a model that writes music",
    "musicgen_melody": "a model that writes music",
    "trocr": "the decoder of a model that reads images of text",
}
"""Listed by transformers as causal language models, but they answer to images or write sound."""
