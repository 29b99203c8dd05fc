"""Near-duplicates at scale: CPU seconds, peak memory, and recall against comparing all with all.

    python benchmarks/near_duplicates.py                        # 100,000 texts of about 340 characters
    python benchmarks/near_duplicates.py --template 4000 --texts 10000

Texts are made-up words with Zipf's frequencies; 6% are copies of earlier ones with one to four words changed. Recall is measured
on a part: which of 8,000 texts have a near-duplicate among 2,000 others, exactly and by MinHash-LSH.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from distil.curate import similar
from distil.curate.similar import near_pairs, nearest, shingle_sets

NEAR = 0.85
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]


def made_up(count: int, template: int, rng: np.random.Generator) -> list[str]:
    """Texts; the first `template` of them are one question with a number."""
    words = ["".join(rng.choice(SYLLABLES, size=rng.integers(1, 4))) for _ in range(20_000)]
    chance = 1 / np.arange(1, len(words) + 1)
    chance /= chance.sum()
    texts = [
        f"Hello, could you please tell me the delivery status of my order number {n}? It has not arrived."
        for n in rng.integers(10**6, size=template).tolist()
    ]
    drawn = rng.choice(len(words), p=chance, size=(count - template, 62))
    for row in drawn:
        if len(texts) > template and rng.random() < 0.06:
            copy = texts[int(rng.integers(template, len(texts)))].split(" ")
            for place in rng.integers(len(copy), size=int(rng.integers(1, 5))):
                copy[place] = words[int(rng.integers(len(words)))]
            texts.append(" ".join(copy))
        else:
            texts.append(" ".join(words[i] for i in row))
    return texts


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--template", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    texts = made_up(options.texts, options.template, rng)
    print(f"{len(texts):,} texts, {np.mean([len(t) for t in texts]):.0f} characters at the mean")
    start = time.process_time()
    sets = shingle_sets(texts)
    shingled = time.process_time()
    pairs = near_pairs(sets, NEAR)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"shingles {shingled - start:.1f} CPU s, pairs {time.process_time() - shingled:.1f} CPU s, peak {memory:,.0f} MB"
    )
    print(f"{len(pairs):,} links of near-duplicates, all verified exactly")
    part = [sets[i] for i in rng.permutation(len(sets))[:10_000]]
    exact = nearest(part[2_000:], part[:2_000]).similarity >= NEAR
    similar.EXACT_CELLS = 0
    found = nearest(part[2_000:], part[:2_000], NEAR).similarity >= NEAR
    print(f"recall {int((found & exact).sum())} of {int(exact.sum())}, false {int((found & ~exact).sum())}")


if __name__ == "__main__":
    main()
