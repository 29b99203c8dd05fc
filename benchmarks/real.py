"""A real student, end to end, through the commands that a user types: SmolLM2-135M on banking77 and on GPT-4's answers.

    python benchmarks/real.py --lab DIR --data DIR [--dir DIR] [--only banking alpaca signals] [--threads N]

banking   questions of some intents, the labels as a recorded teacher; trained with LoRA and whole
alpaca    GPT-4's short answers of alpaca_eval as a recorded teacher; trained with LoRA
signals   SmolLM2 as the teacher of a student with a third of its layers: answers only, live, cached, and through vLLM

The students are exported (folder, GGUF q8_0), and llama.cpp and vLLM serve them: token ids of the prompts, answers, calibration
and the gateway. --lab is where the real parts are (fetched when they are missing; vLLM takes 1.2 GB and ten minutes), --data the
folder with banking77/ and alpaca_eval/ (CC BY 4.0 and CC BY-NC 4.0; not part of Distil). What was measured is kept in
DIR/results.json, and the same command goes on where it was. Prints the tables, and writes them to DIR/tables.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from real_bench import Bench
from real_signals import signals, signals_table
from real_tasks import alpaca, banking, engine_table, student_table

import distil

PARTS = ("banking", "alpaca", "signals")
DEFAULT_DATA = Path(os.environ.get("DISTIL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    """Runs the chosen parts and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", type=Path, required=True, help="folder of the real parts; filled when it is empty")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with banking77/ and alpaca_eval/")
    parser.add_argument("--dir", type=Path, default=Path("real"), help="where projects and results go (default: real)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--engines", nargs="*", choices=("llamacpp", "vllm"), default=["llamacpp", "vllm"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each server; 1 on a busy machine")
    parser.add_argument("--again", nargs="+", default=[], metavar="STEP", help="forget steps that start with this")
    options = parser.parse_args()
    for name in ("banking77", "alpaca_eval"):
        if not (options.data / name).is_dir():
            raise SystemExit(f"{options.data} has no folder {name}. Give the folder of the data with --data.")
    bench = Bench(options.dir.resolve(), options.lab.resolve(), options.data.resolve(), options.threads)
    bench.results = {k: v for k, v in bench.results.items() if not k.startswith(tuple(options.again))}
    tables = [f"Distil {distil.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPU cores"]
    if "banking" in options.only:
        banking(bench, options.engines)
    if "alpaca" in options.only:
        alpaca(bench, options.engines)
    if "signals" in options.only:
        signals(bench, options.engines)
    tables += [text for text in (student_table(bench), engine_table(bench), signals_table(bench)) if text]
    text = "\n\n".join(tables) + "\n"
    (bench.folder / "tables.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
