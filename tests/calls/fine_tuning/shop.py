"""A curated project beside a provider's loopback server, for the tests of fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest

from distil.calls.ledger.store import Ledger
from distil.models.config import StudentConfig
from distil.records import Example, Message, Split
from distil.runs.artifacts import Project
from distil.runs.jsonl import write_records
from distil.runs.schemas.provider_job import ProviderJob, read_provider_job
from distil.train.config import TrainConfig
from distil.train.provider.stage import ProviderResult, run
from tests.wire.fine_tuning import BASES, FineTuningServer
from tests.wire.fine_tuning_fireworks import FireworksTuning
from tests.wire.fine_tuning_openai import AzureTuning, DatedAzureTuning, OpenAITuning
from tests.wire.fine_tuning_together import TogetherTuning

SERVERS: dict[str, type[FineTuningServer]] = {
    "together": TogetherTuning,
    "fireworks": FireworksTuning,
    "azure": AzureTuning,
    "dated azure": DatedAzureTuning,
    "openai": OpenAITuning,
}


def examples(split: Split, count: int, note: str = "") -> list[Example]:
    """Questions with answers."""
    rows = []
    for number in range(count):
        turns = [
            Message(role="user", content=f"{split} question {number}{note}"),
            Message(role="assistant", content=f"answer {number}"),
        ]
        rows.append(
            Example(id=f"e{number}", prompt_id=f"{split}{number}", answer_id=f"a{number}", messages=turns, split=split)
        )
    return rows


class Shop:
    """A provider's server with a project whose data is curated."""

    def __init__(self, vendor: str, folder: Path, train: int = 20) -> None:
        self.server = SERVERS[vendor]()
        self.provider = self.server.vendor
        self.project = Project(folder)
        self.asked: list[str] = []
        self.says = True
        self.curate(train)

    def curate(self, train: int = 20, note: str = "") -> None:
        """Other data, as another `distil curate` would make it."""
        write_records(self.project.split("train"), examples("train", train, note))
        write_records(self.project.split("validation"), examples("validation", 4, note))

    def agree(self, question: str) -> bool:
        """Notes what a person is asked."""
        self.asked.append(question)
        return self.says

    def run(
        self,
        *,
        base: str | None = None,
        name: str = "tuned",
        force: bool = False,
        environ: dict[str, str] | None = None,
        student: StudentConfig | None = None,
        patient: bool = True,
        **train: object,
    ) -> ProviderResult:
        """`distil train --provider`. patient: False gives up on a request after its first try."""
        if not patient:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("distil.calls.fine_tuning.open.TRIES", 1)
                patch.setattr("distil.calls.fine_tuning.run.CHECK_S", 0.01)
                return self.run(base=base, name=name, force=force, environ=environ, student=student, **train)
        section = TrainConfig.model_validate({"usd_per_million_tokens": None if self.priced else 2.0} | train)
        return run(
            self.project,
            section,
            student or StudentConfig(model=BASES[self.provider]),
            name=name,
            provider=self.provider,
            base=base,
            force=force,
            agree=self.agree,
            environ=self.server.environ if environ is None else environ,
        )

    @property
    def priced(self) -> bool:
        """Its price is in the table or estimated by the provider."""
        return self.provider != "azure"

    def job(self, name: str = "tuned") -> ProviderJob:
        """What is remembered of it."""
        found = read_provider_job(self.project.provider_job(name))
        assert found is not None
        return found

    def ledger(self) -> Ledger:
        return Ledger(self.project.ledger)
