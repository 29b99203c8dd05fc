"""The `student` section of distil.yaml. Loading is in load.py, which takes plain arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, field_validator

from distil.runs.section import Section


class StudentConfig(Section):
    """The model to train, and how much of it."""

    model: str = "Qwen/Qwen3-0.6B"
    """bundled/student, a folder in Hugging Face format (may be relative to the project), or a hub id."""
    adapter: Literal["lora"] | None = None
    """null trains all weights; lora trains small additional matrices (less memory, a small file)."""
    quantization: Literal["4bit"] | None = None
    """4bit loads the frozen base model in 4 bits (QLoRA); needs `adapter: lora` and an NVIDIA GPU with bitsandbytes."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto = bfloat16 on a GPU that computes in it, float32 on a CPU and on older cards (T4, V100)."""
    chat_template: str | None = None
    """null = the model's own; a .jinja file (may be relative to the project); or one of Distil's own training templates: chatml,
    deepseek-r1, gemma, llama-3."""
    template_args: dict[str, JsonValue] = Field(default_factory=dict)
    """Fixed arguments of the template, the same in training, evaluation and serving (they are written into the saved template).
    enable_thinking is understood for every model that can think; it is false unless you set it."""
    prompt: str = "same"
    """What the student sees in place of the system and developer turns at the start: same (what the teacher saw), none, or a
    short text. The student then learns what a long prompt says (prompt baking), and each of its requests is that much shorter.
    It is written into the saved chat template: clients go on to send the long prompt."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: int = Field(default=32, ge=1)
    """Numerator of the LoRA scale, alpha / rank."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the LoRA matrices during training."""

    @field_validator("prompt", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise ValueError("expected `same`, `none`, or a short text; for no prompt at all write `none`")
        return value
