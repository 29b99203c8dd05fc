"""`distil prompts expand`: the teacher writes more prompts like the given ones, most of them for the rarest kinds.

In waves: parents come from the rarest clusters, near-duplicates are dropped, and it ends at the count, at the budget, or when
hardly anything new comes. Every reply is in the ledger, so after a stop the same command pays only for what is missing. Children
stay in their parent's group. Only prompts that are trained on are parents: what is written after a held-out one can't be used.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence

from distil import loops
from distil.calls.client import STOPPED, Client
from distil.calls.config import TeacherConfig
from distil.calls.faults import CallFailed
from distil.calls.request import Reply
from distil.errors import BudgetReached, DistilError, Interrupted, UserError, WorkFailed
from distil.progress import bar, dollars
from distil.prompts.coverage import Cluster, Clustering, describe_clusters
from distil.prompts.expanded import group_of, merge_expanded
from distil.prompts.novelty import NoveltyFilter
from distil.prompts.self_instruct import PER_REQUEST, acceptable, child, read_reply, request_for, text_of
from distil.records import Prompt, Record
from distil.runs.artifacts import Project
from distil.runs.jsonl import read_records, write_records
from distil.runs.manifest import read_manifest, stage_run
from distil.runs.schemas.expanded import Expanded, read_expanded
from distil.runs.schemas.sides import read_sides

MAX_WAVE = 40
DRY_SHARE = 0.05
"""A wave whose share of new prompts is below this is dry; two dry waves in a row end the expansion."""
MAX_COMMON = 2


class ExpandResult(Record):
    """What an expansion added."""

    added: int
    """New prompts."""
    prompts: int
    """All prompts, with the new ones."""
    requests: int
    """Replies that were read, those from the ledger included."""
    duplicates: int
    """Written prompts that were near-duplicates."""
    unusable: int
    """Written prompts that were empty or far too long, and replies without any."""
    usd: float
    """Dollars of this run."""
    dry: bool
    """It ended early because hardly anything new came."""
    clusters: tuple[Cluster, ...]
    """Kinds of prompts, rarest first."""

    def rows(self) -> list[tuple[str, str]]:
        """(name, value) pairs for a table."""
        early = "; stopped early, hardly anything new came" if self.dry else ""
        gaps = sum(cluster.gap for cluster in self.clusters)
        table = [
            ("new prompts", f"{self.added:,} (work/prompts/expanded.jsonl{early})"),
            ("total prompts", f"{self.prompts:,}"),
            ("dropped", f"{self.duplicates:,} near-duplicates, {self.unusable:,} unusable"),
            ("spent", f"{dollars(self.usd)} for {self.requests:,} replies"),
            ("coverage", f"{len(self.clusters)} kinds of prompts, {gaps} of them rare"),
        ]
        for cluster in self.clusters:
            mark = "  rare: " if cluster.gap else "  "
            table.append((f"{mark}{cluster.words}", f"{cluster.before:,} -> {cluster.after:,}   {cluster.example}"))
        return table


def run(
    project: Project,
    *,
    teachers: Sequence[TeacherConfig],
    count: int,
    budget_usd: float | None,
    seed: int = 0,
    similarity: float = 0.7,
) -> ExpandResult:
    """Writes `count` more prompts with the first teacher. budget_usd: cap on expanding, over all runs.

    similarity: minimum Jaccard over words and word pairs at which two prompts are the same. Raises UserError, BudgetReached (what
    was written is kept), Interrupted or WorkFailed.
    """
    if count < 1 or not 0 < similarity <= 1:
        raise UserError(
            f"Found count {count} and similarity {similarity}; expected a count of at least 1 and a similarity in (0, 1]."
        )
    if not teachers:
        raise UserError("No teacher is configured. Add at least one under `teachers:` in distil.yaml.")
    manifest = read_manifest(project, "prompts")
    if manifest is None:
        raise UserError("The prompts have not been loaded. Run `distil prompts load` first.")
    prompts = list(read_records(project.prompts, Prompt))
    with stage_run(project, "prompts", manifest.config) as stage:
        for relative in manifest.inputs:
            if (project.root / relative).exists():
                stage.reads(project.root / relative)
        sides = read_sides(project.sides)
        held_out = {p.id for p in prompts if (p.split or sides.get(p.id)) in ("test", "validation")}
        expansion = _Expansion(prompts, teachers[0], seed, similarity, held_out)
        stopped: DistilError | None = None
        try:
            loops.run(expansion.run(project, count, budget_usd))
        except KeyboardInterrupt:
            raise Interrupted(STOPPED) from None
        except BudgetReached as error:
            stopped = error
        merged = expansion.save(project)
        if stopped is not None:
            raise BudgetReached(f"{stopped} {len(expansion.made):,} of {count:,} prompts were written and added.")
        if not expansion.made:
            raise WorkFailed(
                f"{teachers[0].model} wrote no usable new prompt: {expansion.last_problem or 'all were near-duplicates'}."
            )
        result = expansion.result(merged)
        stage.wrote(project.prompts, merged)
        stage.wrote(project.expanded)
        stage.usd, stage.seeds["expand"] = expansion.usd, seed
        stage.notes.update(manifest.notes | {"expanded": result.model_dump(mode="json", exclude={"clusters"})})
    return result


class _Expansion:
    """One run: the pool of prompts, its clusters, and what was written."""

    def __init__(
        self, prompts: list[Prompt], teacher: TeacherConfig, seed: int, similarity: float, held_out: Collection[str]
    ) -> None:
        self._prompts = prompts
        self._teacher = teacher
        self._rng = random.Random(seed)
        self._novelty = NoveltyFilter(similarity)
        for prompt in prompts:
            self._novelty.seed(text_of(prompt))
        self._texts = [text_of(prompt) for prompt in prompts]
        self._clustering = Clustering(self._texts, seed)
        self._sizes = Counter(int(label) for label in self._clustering.labels)
        self._parents: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            if prompt.id not in held_out and prompt.messages[-1].role == "user" and text_of(prompt).strip():
                self._parents.setdefault(int(self._clustering.labels[index]), []).append(index)
        if not self._parents:
            raise UserError(
                "No prompt can serve as an example: all are held out (test or validation), or their last turn is not the user's."
            )
        self._used: Counter[int] = Counter()
        self._labels: list[int] = []
        self.made: list[Expanded] = []
        self.requests = self.duplicates = self.unusable = 0
        self.usd = 0.0
        self.dry = False
        self.last_problem = ""

    async def run(self, project: Project, count: int, budget_usd: float | None) -> None:
        """Runs waves until there are `count` new prompts. Raises what ends the run."""
        dry_waves = 0
        async with Client(
            project.ledger, [self._teacher], budget_usd, root=project.root, cap_option="--budget "
        ) as client:
            with bar("Writing prompts", count, "prompts") as progress:
                try:
                    while len(self.made) < count and dry_waves < 2:
                        before, missing = len(self.made), count - len(self.made)
                        requests = max(1, min(MAX_WAVE, -(-missing // PER_REQUEST)))
                        await self._wave(client, requests, count)
                        note = f"{self.duplicates:,} near-duplicates, {dollars(client.stats.usd)}"
                        progress.update(len(self.made), note)
                        new_share = (len(self.made) - before) / (requests * PER_REQUEST)
                        dry_waves = dry_waves + 1 if new_share < DRY_SHARE else 0
                    self.dry = len(self.made) < count
                finally:
                    self.usd = client.stats.usd

    async def _wave(self, client: Client, size: int, count: int) -> None:
        parents = [self._choose() for _ in range(size)]
        common = self._common()
        requests = []
        for index in parents:
            requests.append(request_for(self._teacher, self._prompts[index], self._used[index], common))
            self._used[index] += 1
        replies: dict[int, Reply] = {}
        ended: DistilError | None = None
        try:
            async for number, result in client.map(enumerate(requests)):
                if isinstance(result, CallFailed):
                    self.last_problem = str(result)
                    self.unusable += 1
                else:
                    replies[number] = result
        except DistilError as error:
            ended = error
        # In the order of the requests, not of the replies: the same replies give the same prompts.
        for number, reply in sorted(replies.items()):
            self._read(self._prompts[parents[number]], reply, count)
        if ended is not None:
            raise ended

    def _choose(self) -> int:
        """The least used parent of the rarest cluster; ties are broken at random."""
        cluster = min(self._parents, key=lambda number: (self._sizes[number], self._rng.random()))
        self._sizes[cluster] += 1  # pending requests count, or a whole wave would go to one cluster
        parents = self._parents[cluster]
        return min(parents, key=lambda index: (self._used[index], self._rng.random()))

    def _common(self) -> list[str]:
        """The words of the two largest clusters, when they are far above an equal share."""
        clusters = describe_clusters(self._clustering, self._texts, self._labels)
        equal_share = sum(cluster.after for cluster in clusters) / len(clusters)
        return [cluster.words for cluster in clusters[::-1][:MAX_COMMON] if cluster.after > 2 * equal_share]

    def _read(self, parent: Prompt, reply: Reply, count: int) -> None:
        self.requests += 1
        texts = read_reply(reply.text)
        if not texts:
            self.unusable += 1
            self.last_problem = (
                f"its replies contain no JSON array of strings (one starts with {reply.text.strip()[:60]!r})"
            )
        for text in texts:
            if len(self.made) >= count:
                return
            if not acceptable(text, parent):
                self.unusable += 1
            elif not self._novelty.add(text):
                self.duplicates += 1
            else:
                made = child(parent, text, group_of(parent))
                label = self._clustering.assign([text])[0]
                self._labels.append(label)
                self._sizes[label] += 1
                self.made.append(
                    Expanded(prompt=made, parent_id=parent.id, teacher=self._teacher.model, call_id=reply.call_id)
                )

    def save(self, project: Project) -> int:
        """Writes expanded.jsonl with the new prompts and prompts.jsonl with all; returns the number of prompts."""
        if self.made:
            write_records(project.expanded, [*read_expanded(project.expanded), *self.made])
        return write_records(project.prompts, merge_expanded(self._prompts, self.made))

    def result(self, prompts: int) -> ExpandResult:
        """The counts and the coverage."""
        return ExpandResult(
            added=len(self.made),
            prompts=prompts,
            requests=self.requests,
            duplicates=self.duplicates,
            unusable=self.unusable,
            usd=self.usd,
            dry=self.dry,
            clusters=tuple(describe_clusters(self._clustering, self._texts, self._labels)),
        )
