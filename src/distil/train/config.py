"""The `train` section of distil.yaml. The stage's setup code unpacks it; nothing below takes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from distil.runs.section import Section

Divergence = Literal["forward_kl", "reverse_kl", "jsd", "skew_kl", "skew_reverse_kl", "tvd"]

BY_TEXT = ("sft", "dpo")
"""Methods for which the teacher's answers are enough."""


class TeacherShare(Section):
    """One teacher of a mixture."""

    model: str
    """A local model: bundled/teacher, a folder (may be relative to the project), local/PATH or a hub id. Must have the
    student's tokenizer."""
    weight: float = Field(default=1.0, gt=0)
    """Its weight in the mixture; weights are scaled to sum to 1."""


class TrainConfig(Section):
    """How the student is trained."""

    method: Literal["sft", "logits", "on_policy", "dpo"] = "sft"
    """sft: the teacher's answers as labels. logits: also the teacher's distribution at every token (needs an open teacher).
    on_policy: the teacher corrects text that the student generates (GKD). dpo: the teacher's answers are preferred to the
    student's own (needs no open teacher)."""
    target: Literal["teacher", "reference"] = "teacher"
    """Train on the teacher's answers, or on the references in your prompts (the baseline without a teacher)."""
    answers: Literal["all", "one_per_epoch"] = "all"
    """Where curate kept several answers to a prompt (curate.choose: all): train on all of them in each epoch, or on one of them
    per epoch, in turn. Validation and test have one answer per prompt."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the training examples."""
    sft_epochs: float = Field(default=0.0, ge=0)
    """logits and on_policy: in so many of the epochs, at the start, the answers alone are learned, as in sft, under one schedule
    with the others."""
    learning_rate: PositiveFloat | Literal["auto"] | None = "auto"
    """Peak learning rate. auto = tries rates around the one that fits the student's size in a few steps first, for at most 5% of
    the training's examples; LoRA, a shorter training, dpo and a student that Distil has trained take the one that fits. null =
    the one that fits: all weights 2e-5 for 7B, 1.4e-4 for 135M, 1.6e-3 for 1M parameters, and LoRA ten times that. `distil train`
    names the one that it takes."""
    temperature: float = Field(default=2.0, gt=0)
    """Softens teacher and student in the divergence, which is multiplied by T^2; not used by sft."""
    distill_weight: float = Field(default=0.7, ge=0)
    """Weight of the divergence from the teacher."""
    label_weight: float = Field(default=0.3, ge=0)
    """Weight of the cross-entropy on the answer's tokens (sft: always 1)."""
    divergence: Divergence = "forward_kl"
    """Distance between student and teacher. forward_kl is the article's; jsd or reverse_kl suit on_policy."""
    beta: float = Field(default=0.5, gt=0, lt=1)
    """jsd: the teacher's share of the mixture (GKD's beta)."""
    alpha: float = Field(default=0.1, ge=0, lt=1)
    """skew_kl, skew_reverse_kl: weight of the other model in the mixture (DistiLLM: 0.1)."""
    divergence_on_policy: Divergence | None = None
    """on_policy: another divergence on the text that the student wrote; null = the same. DistiLLM-2 has skew_kl on the teacher's
    text and skew_reverse_kl on the student's."""
    forward_kl_above: float | None = Field(default=None, ge=0)
    """Add the forward KL where the teacher is unsure: where its entropy is above this many nats (0.8 in the paper, with
    divergence: reverse_kl); null = nowhere."""
    teacher_top_k: int | None = Field(default=None, ge=2)
    """Compare student and teacher within the teacher's k most probable tokens only, both scaled to sum to 1 over them (32 in
    the paper, with divergence: reverse_kl); null = all tokens."""
    mask_special_tokens: bool = False
    """No divergence where the next token is a special one, such as the end of the answer. In the fixed answers its label still
    counts; in the student's own texts nothing teaches it then, so keep on_policy_share below 1."""
    dpo_beta: float = Field(default=0.1, gt=0)
    """dpo: how close the student stays to the one that it starts from; more is closer."""
    signal: Literal["online", "cached", "server"] = "online"
    """Source of the distributions: the teacher in this process, the cache of `distil signals`, or a vLLM or SGLang server."""
    teachers: list[TeacherShare] = Field(default_factory=list)
    """Several local teachers as one weighted mixture; empty = the first entry of the teachers section."""
    server: str | None = None
    """signal: server: http://HOST:PORT/v1#NAME (vLLM) or sglang+http://HOST:PORT; null = the teacher's address."""
    server_top_k: int = Field(default=20, ge=1)
    """signal: server: log-probabilities per position; vLLM allows 20 unless started with --max-logprobs."""
    cross_tokenizer: Literal["bytes", "spans", "uld"] | None = None
    """For a teacher with a different tokenizer. bytes compares the next byte of the text and whole spans; spans compares ids
    that both spell the same; uld compares sorted probabilities (use a small distill_weight, such as 0.1: in our measurements
    0.7 was harmful)."""
    teacher_memory: Literal["auto"] | dict[str, str] | None = None
    """signal: online, for a teacher larger than one device. auto spreads its layers over all GPUs, then the machine's memory,
    then the disk; {"0": 20GiB, cpu: 60GiB} says how much of each it may take; null = all on the student's device."""
    packing: bool = True
    """Pack several examples into one row without padding (each attends only to itself); false: padded batches of similar
    length."""
    batch_size: int = Field(default=32, ge=1)
    """Examples per optimizer step, over all processes."""
    micro_batch_tokens: int | None = Field(default=None, ge=1)
    """Maximum tokens per forward pass; null = by device. Halved automatically when memory runs out, with the same result."""
    max_length: int | None = Field(default=None, ge=8)
    """Maximum example length in tokens; null = the student's context."""
    too_long: Literal["error", "drop"] = "error"
    """What to do with longer examples. They are never truncated: a truncated answer would teach the student to stop early."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls afterwards."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are clipped to this norm; 0 = never."""
    gradient_checkpointing: bool = False
    """Saves memory for about a third more time."""
    bf16: bool | None = None
    """Compute in bfloat16 (in full training the weights stay in float32); null = if the GPU supports it."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a better validation loss, and keep the best checkpoint; null = train to the end."""
    validation_examples: int = Field(default=200, ge=0)
    """Maximum validation examples evaluated after each epoch; 0 = none."""
    seed: int = 0
    """Seed of data order, dropout and rollouts."""
    processes: int = Field(default=1, ge=1)
    """Processes on this machine (one per GPU), started with torchrun."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer over the processes (FSDP2); false: each holds all of them (DDP)."""
    on_policy_share: float = Field(default=0.5, ge=0, le=1)
    """on_policy: share of examples whose text the student generates (GKD's lambda); the others keep the fixed answer."""
    rollout_unanswered: bool = False
    """on_policy: also generate from the project's prompts that have no answer (new ones, or those beyond the budget). Prompts
    with the group or the exact text of a test or validation prompt are excluded. Near-duplicates are not, because curate looks
    only at answered prompts: give such prompts a group, or `split: test`."""
    rollout_temperature: float = Field(default=1.0, ge=0, le=2)
    """on_policy: sampling temperature of the student."""
    rollout_top_p: float = Field(default=1.0, gt=0, le=1)
    """on_policy: the student draws from its most probable tokens that together have this share of the probability."""
    rollout_teacher_top_k: int | None = Field(default=None, ge=1)
    """on_policy: the teacher replaces each token of the student's text that is not among its own k most probable ones (25 in the
    paper); null = the student writes alone."""
    rollout_tokens: int | None = Field(default=None, ge=1)
    """on_policy: maximum tokens of a rollout; null = the longest training answer."""
    rollout_server: str | None = None
    """on_policy: http://HOST:PORT/v1#NAME serving the student (vLLM); null = generate in this process."""
    log_steps: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Minutes between checkpoints; Ctrl-C also saves one."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Also save a checkpoint after this many steps; null = by time only."""
    report_to: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)
    """Other destinations for the metrics."""
    budget_usd: float | None = Field(default=50.0, ge=0, exclude=True)
    """--provider: dollar cap for fine-tuning at providers, all jobs of this project together; null = no cap."""
    usd_per_million_tokens: float | None = Field(default=None, ge=0, exclude=True)
    """--provider: price of a million tokens of training; null = from Distil's table, or the provider's own estimate."""

    @property
    def set_rate(self) -> float | None:
        """The peak learning rate, where distil.yaml names one."""
        return self.learning_rate if isinstance(self.learning_rate, float) else None
