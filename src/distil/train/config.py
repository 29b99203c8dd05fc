"""The `train` section of distil.yaml. stage.py unpacks it; no class below it ever sees it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distil.runs.section import Section


class TeacherShare(Section):
    """One teacher of a mixture."""

    model: str
    """A local model: bundled/teacher, a folder (also relative to the project), local/PATH or a hub id. Same tokenizer as the
    student."""
    weight: float = Field(default=1.0, gt=0)
    """Its share of the mixture; shares are scaled to sum to 1."""


class TrainConfig(Section):
    """How the student learns."""

    method: Literal["sft", "logits", "on_policy"] = "sft"
    """sft: the teacher's answers as labels. logits: also the teacher's distributions over every token (needs an open teacher).
    on_policy: the teacher corrects texts that the student writes itself (GKD)."""
    target: Literal["teacher", "reference"] = "teacher"
    """Which answers: the teacher's, or the prompts' own references (the baseline that needs no teacher)."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    learning_rate: float = Field(default=2.0e-5, gt=0)
    """Peak of the schedule. 1e-5 to 5e-5 for all weights of a large student, 1e-4 to 2e-4 for LoRA, 1e-3 for 1M weights."""
    temperature: float = Field(default=2.0, gt=0)
    """Softens teacher and student in the divergence (which is multiplied by T^2); not used by sft."""
    distill_weight: float = Field(default=0.7, ge=0)
    """Weight of the divergence from the teacher."""
    label_weight: float = Field(default=0.3, ge=0)
    """Weight of the cross-entropy against the answer's tokens (sft: always 1)."""
    divergence: Literal["forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "tvd"] = "forward_kl"
    """How far the student is from the teacher. forward_kl is the article's; jsd or reverse_kl suit on_policy."""
    beta: float = Field(default=0.5, gt=0, lt=1)
    """jsd: the teacher's share of the mixture (GKD's beta)."""
    alpha: float = Field(default=0.1, ge=0, lt=1)
    """skew_kl, skew_reverse_kl: share of the other side in the mixture (DistiLLM: 0.1)."""
    signal: Literal["online", "cached", "server"] = "online"
    """Where distributions come from: the teacher in this process, `distil signals`' cache, or a vLLM or SGLang server."""
    teachers: list[TeacherShare] = Field(default_factory=list)
    """Several local teachers as one weighted mixture; empty = the first entry of the teachers section."""
    server: str | None = None
    """signal: server: http://HOST:PORT/v1#NAME (vLLM) or sglang+http://HOST:PORT; null = the teacher's own address."""
    server_top_k: int = Field(default=20, ge=1)
    """signal: server: how many log-probabilities a position; vLLM allows 20 unless started with --max-logprobs."""
    cross_tokenizer: Literal["bytes", "spans", "uld"] | None = None
    """For a teacher with another tokenizer: bytes compares the next byte of the text and whole spans, spans the ids that both
    spell alike, uld sorted probabilities (with a small distill_weight, such as 0.1: at 0.7 it harmed where it was measured)."""
    packing: bool = True
    """Several examples in one row without padding (each sees only itself); false: padded batches of similar length."""
    batch_size: int = Field(default=32, ge=1)
    """Examples of one optimizer step, over all processes."""
    micro_batch_tokens: int | None = Field(default=None, ge=1)
    """Most tokens in one forward pass; null = by device. Halved by itself when memory runs out; the result stays the same."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest example in tokens; null = the student's context."""
    too_long: Literal["error", "drop"] = "error"
    """What happens to examples longer than that. They are never cut: a cut answer teaches to stop too early."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate climbs."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How it falls afterwards."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are clipped to this norm; 0 = never."""
    gradient_checkpointing: bool = False
    """Less memory for about a third more time."""
    bf16: bool | None = None
    """Compute in bfloat16 (weights of a full training stay in float32); null = where the GPU supports it."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better validation loss, and keep the best; null = train to the end."""
    validation_examples: int = Field(default=200, ge=0)
    """Most validation examples used after each epoch; 0 = none."""
    seed: int = 0
    """Of data order, dropout and rollouts."""
    processes: int = Field(default=1, ge=1)
    """Processes on this machine (one per GPU), started through torchrun."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer over the processes (FSDP2); false: each holds all of them (DDP)."""
    on_policy_share: float = Field(default=0.5, ge=0, le=1)
    """on_policy: share of examples whose text the student writes itself (GKD's lambda); the others keep the fixed answer."""
    rollout_unanswered: bool = False
    """on_policy: the student also writes to the project's prompts that have no answer yet (new ones, or what the budget left).
    Those with the group or the very text of a test or validation prompt are left out; near-duplicates are not: curate, which
    finds them, looks at answered prompts only. Give such prompts a group, or `split: test`."""
    rollout_temperature: float = Field(default=1.0, ge=0, le=2)
    """on_policy: how the student samples."""
    rollout_tokens: int | None = Field(default=None, ge=1)
    """on_policy: most tokens of a rollout; null = the longest training answer."""
    rollout_server: str | None = None
    """on_policy: http://HOST:PORT/v1#NAME that serves the student (vLLM); null = generated in this process."""
    log_steps: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Minutes between checkpoints; Ctrl-C makes one too."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints, beside the clock; null = the clock alone."""
    report_to: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)
    """Other places for the metrics."""
