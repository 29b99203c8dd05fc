"""One job at each provider: what is sent, what is asked, what is paid and what is remembered of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distil.errors import BudgetReached, UserError, WorkFailed
from distil.models.config import StudentConfig
from distil.runs.manifest import read_manifest, stage_state
from distil.runs.schemas.provider_job import ProviderJob
from distil.train.provider.stage import cancel_job
from tests.calls.fine_tuning.shop import SERVERS, Shop
from tests.wire.fine_tuning import BASES, KEY


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.005)


@pytest.fixture(params=[vendor for vendor in SERVERS if vendor != "azure"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(request.param, tmp_path)


def test_a_job_from_data_to_model(shop: Shop) -> None:
    with shop.server:
        result = shop.run(epochs=2.0)
    job = result.job
    assert job.state == "succeeded" and job.serving is not None
    assert job.serving.model.startswith(f"{shop.provider}/")
    assert len(shop.server.orders) == 1 and len(shop.server.files) == 2
    order = json.dumps(shop.server.orders[0])
    assert job.base in order and f'"{BASES[shop.provider]}"' in order
    with shop.ledger() as ledger:
        assert ledger.spent("train") == pytest.approx(job.usd) and ledger.uncertain().requests == 0
        assert job.usd is not None and job.usd > 0
    manifest = read_manifest(shop.project, "train", "tuned")
    assert manifest is not None and manifest.usd == pytest.approx(job.usd)
    assert shop.project.students() == ["tuned"]
    assert "next" in dict(result.rows())


def test_what_is_sent_is_the_curated_data(shop: Shop) -> None:
    with shop.server:
        shop.run()
    sent = [file["content"] for file in shop.server.files.values()]
    lines = [json.loads(line) for line in sent[0].decode("utf-8-sig").splitlines()]
    assert len(lines) == 20 and lines[3]["messages"][1] == {"role": "assistant", "content": "answer 3"}
    assert list(shop.project.stage("train", "tuned").glob("*.upload*")) == []


def test_no_key_is_written_anywhere(shop: Shop) -> None:
    with shop.server:
        shop.run()
    for path in shop.project.root.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_person_is_asked_before_anything_is_sent(shop: Shop) -> None:
    shop.says = False
    with shop.server, pytest.raises(UserError, match="nothing was sent"):
        shop.run()
    assert shop.server.files == {} and shop.server.jobs == {}
    assert "20 examples" in shop.asked[0] and "Serving it" in shop.asked[0]


def test_a_finished_job_is_not_made_again(shop: Shop) -> None:
    with shop.server:
        first = shop.run()
        second = shop.run()
        assert second.job == first.job and len(shop.server.jobs) == 1
        shop.run(force=True)
        assert len(shop.server.jobs) == 2
    with shop.ledger() as ledger:
        assert ledger.spent("train") == pytest.approx(2 * (first.job.usd or 0))


def test_a_job_is_cancelled(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.run.FineTuningRun._follow", stopped)
    with shop.server:
        with pytest.raises(KeyboardInterrupt, match="stop"):
            raise_kept(shop)
        monkeypatch.undo()
        monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.005)
        cancel_job(shop.project, name="tuned", provider=shop.provider, environ=shop.server.environ)
        with pytest.raises(WorkFailed, match="was cancelled"):
            shop.run()
        with pytest.raises(UserError, match="--force"):
            shop.run()
    assert shop.job().state == "cancelled" and len(shop.server.jobs) == 1


async def stopped(run: object, job: object) -> object:
    raise KeyboardInterrupt("stop")


def raise_kept(shop: Shop) -> None:
    """Ctrl-C once the job is created: what the person reads."""
    from distil.errors import Interrupted

    try:
        shop.run()
    except Interrupted as error:
        assert "goes on" in str(error) and "--cancel" in str(error)
        raise KeyboardInterrupt("stop") from None


def test_a_job_that_fails_says_why(shop: Shop) -> None:
    shop.server.fail = "The job failed because 3 lines are \x1b[31mmalformed"
    with shop.server:
        with pytest.raises(WorkFailed, match="3 lines are") as caught:
            shop.run()
        assert "\x1b" not in str(caught.value)
        with pytest.raises(UserError, match=r"failed: .*--force"):
            shop.run()
        assert len(shop.server.jobs) == 1
    with shop.ledger() as ledger:
        assert ledger.spent("train") == 0 and ledger.uncertain("train").requests == 1


def test_a_refused_file_says_why(shop: Shop) -> None:
    shop.server.refuse_file = "Line 7: unknown role"
    with shop.server, pytest.raises(WorkFailed, match=r"Line 7: unknown role.*Nothing was paid"):
        shop.run()
    assert shop.server.jobs == {}


def test_the_cap_holds(shop: Shop) -> None:
    with shop.server:
        with pytest.raises(BudgetReached, match=r"train\.budget_usd"):
            shop.run(budget_usd=1e-6)
        assert shop.server.jobs == {}
        files = len(shop.server.files)
        shop.run()
        assert len(shop.server.files) == files and len(shop.server.jobs) == 1


def test_an_unknown_state_waits(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.server.word = "PONDERING"

    def speak(seen: object) -> None:
        if any(job["looks"] > 2 for job in shop.server.jobs.values()):
            shop.server.word = None

    shop.server.trouble_for = speak
    with shop.server:
        assert shop.run().job.state == "succeeded"
    assert "pondering" in capsys.readouterr().err.lower()


def test_an_unknown_base_model_sends_nothing(shop: Shop) -> None:
    with shop.server, pytest.raises(UserError, match="--base"):
        shop.run(base="no-such-model")
    assert shop.server.files == {}


def test_changed_data_makes_the_student_stale(shop: Shop) -> None:
    with shop.server:
        shop.run()
    assert stage_state(shop.project, "train", "tuned")[0] == "done"
    shop.curate(note=" again")
    assert stage_state(shop.project, "train", "tuned")[0] == "stale"


def test_settings_are_sent_where_there_is_a_place(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    student = StudentConfig(model=BASES[shop.provider], adapter="lora", lora_rank=8)
    with shop.server:
        job = shop.run(learning_rate=1e-4, seed=7, warmup=0.1, student=student).job
    order, said = shop.server.orders[0], capsys.readouterr().err
    if shop.provider == "together":
        assert order["learning_rate"] == 1e-4 and order["training_type"]["lora_r"] == 8 and order["random_seed"] == 7
    elif shop.provider == "fireworks":
        assert order["learningRate"] == 1e-4 and order["loraRank"] == 8
        assert "train.seed is left to Fireworks" in said
    else:
        assert order["seed"] == 7 and "learning_rate" not in json.dumps(order)
        assert "train.learning_rate is left to" in said
    assert all(remark in said for remark in job.remarks)


def test_killed_between_booking_and_noting_the_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The money is in the ledger, the state is not: booking it again adds nothing."""
    from distil.calls.fine_tuning.run import FineTuningRun

    save = FineTuningRun._save

    def killed(run: FineTuningRun, job: ProviderJob, **changes: object) -> ProviderJob:
        if changes.get("state") == "succeeded":
            raise RuntimeError("killed")
        return save(run, job, **changes)

    with shop.server:
        with monkeypatch.context() as patch:
            patch.setattr(FineTuningRun, "_save", killed)
            with pytest.raises(RuntimeError):
                shop.run()
        job = shop.run().job
    with shop.ledger() as ledger:
        assert ledger.spent("train") == pytest.approx(job.usd) and ledger.totals("train")[0].calls == 1
    assert len(shop.server.jobs) == 1


def test_a_job_that_is_done_is_not_cancelled(shop: Shop) -> None:
    with shop.server:
        shop.run()
        with pytest.raises(UserError, match="nothing to stop"):
            cancel_job(shop.project, name="tuned", provider=shop.provider, environ=shop.server.environ)
    assert shop.job().state == "succeeded"
