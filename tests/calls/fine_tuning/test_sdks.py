"""The vendors' own SDKs, where they are installed, read the loopback servers strictly and know every field that we send.

Not in CI: `pip install openai together fireworks-ai` (3.57, 3.1.1 and 1.2.30 when this was written).
"""

from __future__ import annotations

import typing
from pathlib import Path
from typing import get_args, get_origin

import pytest

from tests.calls.fine_tuning.shop import Shop
from tests.wire.fine_tuning import BASES, KEY
from tests.wire.fine_tuning_fireworks import ACCOUNT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)


def wire_names(params: type) -> set[str]:
    """The names on the wire of an SDK's request: its aliases where it has some."""
    names = set()
    for name, kind in typing.get_type_hints(params, include_extras=True).items():
        while get_origin(kind) in (typing.Required, typing.NotRequired):
            (kind,) = get_args(kind)
        alias = [getattr(note, "alias", None) for note in getattr(kind, "__metadata__", ())]
        names.add(next((one for one in alias if one), name))
    return names


def test_openai_sdk(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    from openai.types.fine_tuning.job_create_params import JobCreateParams

    shop = Shop("openai", tmp_path)
    with shop.server:
        job = shop.run(batch_size=4, seed=1).job
        base_url = shop.server.environ["OPENAI_BASE_URL"]
        with openai.OpenAI(api_key=KEY, base_url=base_url, _strict_response_validation=True) as client:
            found = client.fine_tuning.jobs.retrieve(job.job_id)
            assert found.status == "succeeded" and found.fine_tuned_model == str(job.serving.model).removeprefix(
                "openai/"
            )
            assert [one.id for one in client.fine_tuning.jobs.list(limit=10)] == [job.job_id]
            assert len(client.fine_tuning.jobs.list_events(job.job_id).data) > 2
            assert {one.filename for one in client.files.list()} == {job.train.name, job.validation.name}
    assert set(shop.server.orders[0]) <= wire_names(JobCreateParams)


def test_together_sdk(tmp_path: Path) -> None:
    together = pytest.importorskip("together")
    from together.lib.types.fine_tuning import FinetuneRequest
    from together.types.fine_tuning_estimate_price_params import FineTuningEstimatePriceParams

    shop = Shop("together", tmp_path)
    with shop.server:
        job = shop.run(learning_rate=1e-4, seed=1, schedule="linear", warmup=0.1, max_length=4096).job
        base_url = shop.server.environ["TOGETHER_BASE_URL"].removesuffix("/v1")
        with together.Together(api_key=KEY, base_url=base_url, _strict_response_validation=True) as client:
            found = client.fine_tuning.retrieve(job.job_id)
            assert found.status == "completed"
            assert client.fine_tuning.list().data[0].id == job.job_id
            assert len(client.fine_tuning.list_events(job.job_id).data) > 2
            limits = client.fine_tuning.model_limits(model_name=BASES["together"])
            assert limits.supports_full_training
            estimate = client.fine_tuning.estimate_price(training_file=job.train.id, model=job.base, n_epochs=1)
            assert estimate.estimated_total_price == job.estimate_usd
            assert client.files.retrieve(job.train.id).processing_status == "COMPLETED"
    defaults = {"max_grad_norm": 1.0, "weight_decay": 0.0}  # the SDK always writes them, the API does not require them
    FinetuneRequest.model_validate(defaults | shop.server.orders[0])
    assert set(shop.server.orders[0]) <= set(FinetuneRequest.model_fields)
    asked = next(seen.body for seen in shop.server.seen if seen.path.endswith("/estimate-price"))
    assert set(asked) <= wire_names(FineTuningEstimatePriceParams)


def test_fireworks_sdk(tmp_path: Path) -> None:
    fireworks = pytest.importorskip("fireworks")
    from fireworks.types.dataset_param import DatasetParam
    from fireworks.types.supervised_fine_tuning_job_create_params import SupervisedFineTuningJobCreateParams

    shop = Shop("fireworks", tmp_path)
    with shop.server:
        job = shop.run(learning_rate=1e-4, max_length=4096, weight_decay=0.1, batch_size=8).job
        with fireworks.Fireworks(
            api_key=KEY, account_id=ACCOUNT, base_url=shop.server.origin, _strict_response_validation=True
        ) as client:
            found = client.supervised_fine_tuning_jobs.get(job.job_id)
            assert found.state == "JOB_STATE_COMPLETED" and found.estimated_cost.units == "1"
            assert [one.name for one in client.supervised_fine_tuning_jobs.list()] == [found.name]
            assert client.datasets.get(job.train.id).state == "READY"
            model = client.models.get("qwen3-8b", account_id="fireworks")
            assert model.tunable
    assert set(shop.server.orders[0]) <= wire_names(SupervisedFineTuningJobCreateParams)
    about = next(seen.body for seen in shop.server.seen if seen.path.endswith("/datasets"))
    assert set(about["dataset"]) <= wire_names(DatasetParam)
