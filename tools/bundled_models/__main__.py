"""`python -m tools.bundled_models`: train the bundled tokenizer, student base and teacher from scratch.

    python -m tools.bundled_models --what tokenizer --out DIR
    python -m tools.bundled_models --what student --out DIR --minutes 80 [--resume]
    python -m tools.bundled_models --what teacher --out DIR --minutes 50 [--grow-from STUDENT]

The teacher starts as a widened copy of a student base. Without `--out`, the bundled models and their logs are replaced.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from distil.bundled.paths import MODELS
from distil.errors import UserError
from tools.bundled_models.grow import grow
from tools.bundled_models.loop import Plan, Run
from tools.bundled_models.scores import copying_scores, reading_scores, task_scores, unseen_examples
from tools.bundled_models.tokenizer import CONTEXT, train_tokenizer

LOGS = Path(__file__).parent / "logs"
SHAPES: dict[str, dict[str, Any]] = {
    "teacher": {"hidden_size": 256, "num_hidden_layers": 6, "intermediate_size": 768},
    "student": {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 384},
}
DEFAULT_MINUTES = {"teacher": 48.0, "student": 96.0}


def plan_for(name: str, minutes: float | None, steps: int | None, seed: int) -> Plan:
    """The last settings of the shipped models' training (their model cards list what changed along the way)."""
    if minutes is None and steps is None:
        minutes = DEFAULT_MINUTES[name]
    if name == "teacher":
        return Plan(
            name, minutes, steps, 4096, 0.012, 1.5e-3, task_share=(0.7, 0.9), random_share=0.03, decay=0.35, seed=seed
        )
    return Plan(name, minutes, steps, 4096, 0.01, 1e-3, task_share=(0.0, 0.0), random_share=0.03, decay=0.2, seed=seed)


def new_model(name: str, tokenizer: Any, seed: int) -> Any:
    """A Llama with random weights in the bundled shape (embeddings tied, 4 heads, context 512)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        **SHAPES[name], vocab_size=len(tokenizer), num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=CONTEXT,
        tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    config._attn_implementation = "eager"  # at these lengths on a CPU a third faster than the fused kernel's backward
    return LlamaForCausalLM(config)


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save as a plain Hugging Face folder in bfloat16, generation settings included."""
    import torch
    from transformers import GenerationConfig

    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.backend_tokenizer.no_padding()  # scoring pads; that must not become the shipped default
    tokenizer.save_pretrained(folder)


def train_model(name: str, out: Path, plan: Plan, *, resume: bool, grow_from: Path | None = None) -> None:
    """Train one model in `out/name.run`, then export it to `out/name` and its log to `out/name.jsonl`.

    `grow_from` is the folder of a student from which the teacher is grown. UserError when there is no tokenizer yet.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer_folder = out / "tokenizer"
    if not tokenizer_folder.exists():
        raise UserError(
            f"There is no tokenizer in {tokenizer_folder}. Run this first: "
            f"python -m tools.bundled_models --what tokenizer --out {out}"
        )
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    quick = unseen_examples(128)

    def score(model: Any) -> dict[str, Any]:
        return {
            "task": task_scores(model, tokenizer, quick),
            "copying": copying_scores(model, tokenizer, 48),
            "reading": reading_scores(model, tokenizer, 48),
        }

    folder = out / f"{name}.run"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = new_model(name, tokenizer, plan.seed)
    if grow_from is not None:
        grow(AutoModelForCausalLM.from_pretrained(grow_from, dtype="float32"), fresh, seed=plan.seed)
    run = Run(plan, fresh, tokenizer, folder, score)
    checkpoint = folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        run.load(checkpoint)
    else:
        (folder / "log.jsonl").unlink(missing_ok=True)
    run.train()
    if run.stopped:
        return
    model = run.averaged()
    export(model, tokenizer, out / name)
    model = model.float()
    examples = unseen_examples(1000)
    final = {
        "greedy": task_scores(model, tokenizer, examples),
        "temperature_0.7": task_scores(model, tokenizer, examples, temperature=0.7),
        "copying": copying_scores(model, tokenizer, 200),
        "reading": reading_scores(model, tokenizer, 200),
    }
    run.log({"final": final})
    log = (LOGS if out == MODELS else out) / f"{name}.jsonl"
    log.write_bytes((folder / "log.jsonl").read_bytes())


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bundled_models", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--what", choices=("tokenizer", "teacher", "student", "all"), default="all")
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--grow-from", type=Path, help="folder of the student from which the teacher is grown")
    arguments = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(arguments.threads)
    if arguments.what in ("tokenizer", "all"):
        train_tokenizer(arguments.out / "tokenizer", seed=arguments.seed)
    for name in ("student", "teacher"):
        if arguments.what in (name, "all"):
            plan = plan_for(name, arguments.minutes, arguments.steps, arguments.seed)
            grow_from = (arguments.grow_from or arguments.out / "student") if name == "teacher" else None
            train_model(name, arguments.out, plan, resume=arguments.resume, grow_from=grow_from)


if __name__ == "__main__":
    main()
