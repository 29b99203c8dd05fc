"""Loads a local model and its tokenizer: bundled/NAME, a Hugging Face folder (also one that holds a LoRA adapter), or a hub id.

Not for models behind an API (distil.calls). torch and transformers load inside the functions: importing this file is cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distil.bundled.paths import MODELS
from distil.errors import UserError, did_you_mean
from distil.models import hub
from distil.models.families import require_causal
from distil.models.lora import Lora, fresh_adapter, sparing_casts
from distil.models.spread import Spread, describe, remove_with, spread_options
from distil.models.template import TemplateSettings, prepare
from distil.progress import say
from distil.runs.jsonl import read_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUNDLED = ("teacher", "student")
PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' }}{% generation %}{{ (message['content'] or '') + eos_token }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ (message['role'] | capitalize) + ': ' + (message['content'] or '') + '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
"""For base models that come without a chat template; it is saved with the student, so serving uses the same."""


@dataclass(frozen=True)
class Loaded:
    """A model in memory with the tokenizer that belongs to it."""

    model: Any
    """A transformers PreTrainedModel (or a PeftModel around one), in eval mode."""
    tokenizer: PreTrainedTokenizerBase
    """With a chat template."""
    ref: str
    """What it was loaded from, as the config names it."""
    device: torch.device
    """Of the weights."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """The text of these token ids."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))


def quiet() -> None:
    """Silences transformers' own progress bars and advice: Distil shows its own bar."""
    import warnings

    from transformers.utils import logging

    # Deprecations inside these libraries are for their developers, not for a user.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\.")
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def resolve(ref: str) -> str:
    """The folder or hub id behind a name of the config. Raises UserError for an unknown bundled name or an empty folder."""
    if ref.startswith("bundled/"):
        name = ref.removeprefix("bundled/")
        folder = MODELS / name
        if name not in BUNDLED or not (folder / "config.json").is_file():
            raise UserError(
                f"There is no bundled model {name!r}.{did_you_mean(name, BUNDLED)} Expected bundled/teacher, "
                "bundled/student, a folder, or a hub id such as Qwen/Qwen3-0.6B."
            )
        return str(folder)
    folder = Path(ref).expanduser()
    if folder.is_dir():
        if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise UserError(
                f"The folder {ref} holds no model: it has neither config.json nor adapter_config.json. "
                "Expected a folder in Hugging Face format, such as work/train/NAME/model."
            )
        return str(folder)
    if ref.startswith((".", "/", "~")) or ref.count("/") > 1:
        raise UserError(
            f"There is no folder {ref}. Expected a folder in Hugging Face format, or a hub id such as Qwen/Qwen3-0.6B."
        )
    return ref


def pick_device(device: str | None = None) -> torch.device:
    """The named device, or the best one here: cuda, then mps, then cpu."""
    import torch

    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The named dtype; `auto` = bfloat16 on a CUDA device that computes in it, else float32."""
    import torch

    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16. Older cards (T4, V100) hold such tensors and emulate the products, slowly."""
    import torch

    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def load(
    ref: str,
    *,
    dtype: str = "auto",
    device: str | None = None,
    adapter: str | Lora | None = None,
    quantization: str | None = None,
    attention: str | None = None,
    template: TemplateSettings | None = None,
    spread: Spread | None = None,
) -> Loaded:
    """Loads a causal language model for inference (eval mode) or as the start of a training.

    `adapter`: None, a folder with a trained adapter, or "lora" / a `Lora` for a fresh one to train. `attention` names the
    attention implementation (default: transformers' choice); `template` prepares the chat template; `spread` places a model that
    is only read over several devices. Raises UserError when the model can't be found or its settings don't fit this machine.
    """
    where = pick_device(device)
    _check_quantization(quantization, adapter, where)
    source = resolve(ref)
    if (Path(source) / "adapter_config.json").is_file() and not (Path(source) / "config.json").is_file():
        name = str(read_json(Path(source) / "adapter_config.json")["base_model_name_or_path"])
        base = load(name, dtype=dtype, device=device, quantization=quantization, attention=attention, spread=spread)
        if (Path(source) / "generation_config.json").is_file():  # the ends that the adapter was taught
            from transformers import GenerationConfig

            base.model.generation_config = GenerationConfig.from_pretrained(source)
        return Loaded(_add_adapter(base.model, source), load_tokenizer(ref, template), ref, base.device)
    quiet()
    from transformers import AutoConfig, AutoModelForCausalLM

    config = _from_pretrained(AutoConfig, source, ref)
    require_causal(config, ref)
    options: dict[str, Any] = {"dtype": pick_dtype(dtype, where)}
    if attention:
        options["attn_implementation"] = attention
    if quantization == "4bit":
        options |= {"quantization_config": _four_bits(options["dtype"]), "device_map": {"": where}}
    elif spread is not None:
        options |= spread_options(config, spread, where, options["dtype"])
    tokenizer = load_tokenizer(ref, template)
    model, info = _from_pretrained(AutoModelForCausalLM, source, ref, output_loading_info=True, **options)
    _require_whole(ref, sorted(info["missing_keys"]))
    _drop_sampling(model)
    if spread is not None:
        remove_with(model, options)
        say(f"{ref}: {describe(model)}.")
    elif quantization is None:
        model.to(where)
    if adapter is not None:
        model = _add_adapter(model, adapter)
    return Loaded(model.eval(), tokenizer, ref, where)


def _four_bits(dtype: torch.dtype) -> object:
    """QLoRA's NF4 with double quantization (Dettmers et al. 2023), computed in the dtype of what is not quantized."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _drop_sampling(model: PreTrainedModel) -> None:
    """Keeps the token ids of a generation config and drops its sampling, so that a saved student is served as it was measured.

    vLLM, SGLang and transformers apply a folder's generation_config.json wherever a request names no value, and a request of
    OpenAI's shape can't name all: the repetition_penalty of 1.1 in Qwen2.5-0.5B-Instruct's changes even greedy answers.
    """
    from transformers import GenerationConfig

    own = getattr(model, "generation_config", None)
    if own is not None:
        ids = {name: getattr(own, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**ids)


def load_tokenizer(ref: str, template: TemplateSettings | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer alone, with a chat template, a pad token and an end token: the only place where one is loaded.

    template: how its chat template is prepared (models/template.py); None = as it is. Raises UserError like `load`.
    """
    quiet()
    from transformers import AutoTokenizer

    tokenizer = _from_pretrained(AutoTokenizer, resolve(ref), ref)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"The tokenizer of {ref} names no end-of-text token, so a student could never learn to stop. Use another model."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        tokenizer.chat_template = plain_template(tokenizer)
    if template is not None:
        prepare(tokenizer, template)
    return tokenizer


def plain_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """PLAIN_TEMPLATE, with the start token in front where the tokenizer puts one before every text."""
    starts = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return ("{{ bos_token }}" if starts else "") + PLAIN_TEMPLATE


def context_length(model: PreTrainedModel) -> int | None:
    """The maximum number of tokens, or None where the model's config doesn't give it."""
    config = getattr(model.config, "get_text_config", lambda: model.config)()
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that end an answer: the tokenizer's end token and those of the model's generation config."""
    ids = {int(tokenizer.eos_token_id)}
    for source in (getattr(model, "generation_config", None), model.config):
        value = getattr(source, "eos_token_id", None)
        ids.update(int(v) for v in ([value] if isinstance(value, int) else value or []))
    return ids


def _from_pretrained(factory: Any, source: str, ref: str, **options: Any) -> Any:
    at_hub = not Path(source).is_dir()
    if at_hub and not hub.reachable(hub.endpoint()):
        options["local_files_only"] = True  # use the download cache without checking for updates
    try:
        # transformers would ask "[y/N]" in the middle of a run, and run a stranger's Python after a y
        return factory.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{ref} needs Python code that comes with the model, which Distil does not run: it could do anything on this "
                "machine. Use a model whose class is part of transformers, or serve this one with vLLM and name the server as "
                "the teacher (http://HOST:PORT/v1#NAME)."
            ) from error
        if not at_hub:
            raise UserError(f"{ref} could not be loaded as a language model: {_first_line(error)}") from error
        if "local_files_only" in options:
            raise UserError(
                f"{ref} could not be loaded: there is no such folder, it was not downloaded before, and the Hugging Face hub "
                f"({hub.endpoint()}) can't be reached. Check the name and the network (and HTTPS_PROXY), or use a local "
                "folder or bundled/student."
            ) from error
        raise UserError(
            f"{ref} could not be loaded: there is no such folder, and the Hugging Face hub could not provide it "
            f"({_first_line(error)}). "
            "Check the name and the network (a gated model needs `hf auth login`), or use a local folder or bundled/student."
        ) from error


def _require_whole(ref: str, missing: list[str]) -> None:
    """transformers fills missing tensors with random numbers and only warns."""
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"{ref} is not a whole causal language model: {len(missing)} of its tensors are in none of its files ({shown}). "
            "Download it again, or use another model."
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _check_quantization(quantization: str | None, adapter: str | Lora | None, device: torch.device) -> None:
    if quantization is None:
        return
    import importlib.util

    if quantization != "4bit":
        raise UserError(f"quantization {quantization!r} is not known; expected 4bit or null.")
    if device.type != "cuda":
        raise UserError(
            f"quantization: 4bit needs an NVIDIA GPU, and this machine offers {device.type}. Set student.quantization to null "
            "(a small student with `adapter: lora` needs little memory in full precision too)."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "quantization: 4bit needs the package bitsandbytes. Run `pip install bitsandbytes`, or set it to null."
        )
    if adapter is None:
        raise UserError(
            "quantization: 4bit freezes the weights, so training needs `adapter: lora`. Set student.adapter to lora."
        )


def _add_adapter(model: PreTrainedModel, adapter: str | Lora) -> Any:
    from peft import PeftModel

    if isinstance(adapter, str) and adapter != "lora":
        if not (Path(adapter) / "adapter_config.json").is_file():
            raise UserError(
                f"{adapter} holds no adapter: adapter_config.json is missing. Expected 'lora', or a folder such as "
                "work/train/NAME/adapter."
            )
        return sparing_casts(PeftModel.from_pretrained(model, adapter).eval())
    return fresh_adapter(model, adapter if isinstance(adapter, Lora) else Lora())
