"""Whatever is wrong with the input, the account or the server's replies: one paragraph, and nothing is paid for twice."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from distil.calls.fine_tuning.offers import OFFERS, find_offer, require_open
from distil.errors import DistilError, UserError, WorkFailed
from distil.models.config import StudentConfig
from distil.runs.schemas.provider_job import save_provider_job
from distil.train.config import TrainConfig
from distil.train.provider.stage import run
from tests.calls.fine_tuning.shop import Shop
from tests.wire.fine_tuning import BASES
from tests.wire.fine_tuning_fireworks import FireworksTuning
from tests.wire.fine_tuning_openai import AzureTuning
from tests.wire.fine_tuning_together import TogetherTuning
from tests.wire.server import Seen, Trouble

VENDORS = ["together", "fireworks", "azure", "openai"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.run.FIRST_POLL_S", 0.002)

    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr("distil.calls.batch.net.asyncio.sleep", at_once)


@pytest.fixture(params=VENDORS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(request.param, tmp_path)


@pytest.fixture
def together(tmp_path: Path) -> Shop:
    return Shop("together", tmp_path)


def test_an_unknown_provider_is_answered_with_the_known() -> None:
    with pytest.raises(UserError, match=r"together, fireworks, azure, openai.*'together'"):
        find_offer("Togetherr")


def test_a_missing_key_names_its_variable(shop: Shop) -> None:
    with shop.server, pytest.raises(UserError, match=r"export \w+_API_KEY"):
        shop.run(environ={"AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9"})


def test_a_baked_prompt_is_refused_at_a_provider(together: Shop) -> None:
    student = StudentConfig(prompt="none")
    with together.server, pytest.raises(UserError, match=r"Together.* keeps its own\. Set student.prompt: same"):
        together.run(student=student)


def test_what_is_closed_is_said_with_the_missing_key(tmp_path: Path) -> None:
    shop = Shop("openai", tmp_path)
    with shop.server, pytest.raises(UserError, match=r"OPENAI_API_KEY.*closed to organizations"):
        shop.run(environ={})


def test_azure_without_an_address_says_what_to_type(tmp_path: Path) -> None:
    shop = Shop("azure", tmp_path)
    with shop.server, pytest.raises(UserError, match="AZURE_OPENAI_ENDPOINT"):
        shop.run(environ={"AZURE_OPENAI_API_KEY": "k" * 20})


def test_a_refused_key_is_a_users_error(shop: Shop) -> None:
    wrong = "wrong-key-0123456789abc"
    with shop.server, pytest.raises(UserError, match=r"refused the API key \(401\).*_API_KEY") as caught:
        shop.run(environ={name: wrong if "KEY" in name else url for name, url in shop.server.environ.items()})
    assert "wrong-key" not in str(caught.value)


@pytest.mark.parametrize(
    ("vendor", "status"), [("together", 400), ("openai", 402), ("openai", 403), ("azure", 404), ("fireworks", 422)]
)
def test_a_refused_job_is_not_paid_and_not_made(vendor: str, status: int, tmp_path: Path) -> None:
    shop = Shop(vendor, tmp_path)
    body = {"error": {"message": "This organization can't \x1b[31mcreate fine-tuning jobs", "code": "nope"}}
    shop.server.trouble_for = lambda seen: Trouble(status, body) if creates(seen) else None
    with shop.server:
        with pytest.raises(DistilError, match="create fine-tuning jobs") as caught:
            shop.run()
        assert "\x1b" not in str(caught.value)
        assert shop.server.jobs == {} and shop.job().state == "uploaded"
        with shop.ledger() as ledger:
            assert ledger.spent("train") == 0 and ledger.uncertain().requests == 0
        shop.server.trouble_for = None
        assert shop.run().job.state == "succeeded"
    assert len(shop.server.jobs) == 1 and len(shop.server.files) == 2


def creates(seen: Seen) -> bool:
    """Whether a request creates a job."""
    return seen.method == "POST" and seen.path.endswith(("/jobs", "/fine-tunes", "/supervisedFineTuningJobs"))


@pytest.mark.parametrize(("vendor", "status"), [("together", 429), ("fireworks", 500), ("azure", 503), ("openai", 429)])
def test_a_busy_provider_is_waited_for(vendor: str, status: int, tmp_path: Path) -> None:
    shop = Shop(vendor, tmp_path)
    seen_of: dict[str, int] = {}

    def busy(seen: Seen) -> Trouble | None:
        """The first request to each address."""
        place = f"{seen.method} {seen.path}"
        seen_of[place] = seen_of.get(place, 0) + 1
        return Trouble(status, {"error": {"message": "slow down"}}) if seen_of[place] == 1 else None

    shop.server.trouble_for = busy
    with shop.server:
        assert shop.run().job.state == "succeeded"
    assert len(shop.server.jobs) == 1 and len(shop.server.files) == 2


def test_a_provider_that_stays_down_ends_in_one_paragraph(shop: Shop) -> None:
    shop.server.trouble_for = lambda seen: Trouble(503, {"error": {"message": "overloaded"}}) if creates(seen) else None
    with shop.server:
        with pytest.raises(WorkFailed, match="looks for it before"):
            shop.run()
        assert shop.job().state == "creating"
        shop.server.trouble_for = None
        shop.run()
    assert len(shop.server.jobs) == 1


BROKEN = (b"<html>gateway</html>", b"", b"[1, 2]", b'{"id": ', b"null", b'{"data": 5, "status": 7}')


def test_replies_that_are_not_what_they_should_be(shop: Shop) -> None:
    """Each address in turn answers with something else for ever: it is done without, or an error in words."""
    places: list[str] = []
    with shop.server:
        shop.run(name="first")
        for seen in shop.server.seen:
            place = f"{seen.method} {generic(seen.path)}"
            places += [place] if place not in places else []
        for number, place in enumerate(places):
            body, before = BROKEN[number % len(BROKEN)], len(shop.server.jobs)
            shop.server.trouble_for = lambda seen, place=place, body=body: (
                Trouble(200, body) if f"{seen.method} {generic(seen.path)}" == place else None
            )
            try:
                shop.run(name=f"broken{number}", patient=False)
            except DistilError as error:
                assert "Traceback" not in str(error)
            assert len(shop.server.jobs) <= before + 1


def generic(path: str) -> str:
    """The address without the ids in it."""
    parts = path.split("/")
    return "/".join("ID" if any(sign.isdigit() for sign in part) and part != "v1" else part for part in parts)


@pytest.mark.parametrize(("vendor", "least"), [("openai", 10), ("azure", 10), ("fireworks", 3)])
def test_too_few_examples(vendor: str, least: int, tmp_path: Path) -> None:
    shop = Shop(vendor, tmp_path, train=least - 1)
    with shop.server, pytest.raises(UserError, match=f"at least {least} are needed"):
        shop.run()
    assert shop.server.files == {} and shop.asked == []


def test_a_file_that_is_too_large(together: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OFFERS, "together", OFFERS["together"]._replace(max_upload=1000))
    with together.server, pytest.raises(UserError, match="one upload takes"):
        together.run()
    assert together.server.files == {}


def test_a_file_that_expired_is_sent_again(shop: Shop) -> None:
    shop.server.trouble_for = lambda seen: Trouble(400, {"error": {"message": "no"}}) if creates(seen) else None
    with shop.server:
        with pytest.raises(DistilError):
            shop.run()
        shop.server.files.clear()
        shop.server.trouble_for = None
        assert shop.run().job.state == "succeeded"
    assert len(shop.server.files) == 2 and len(shop.server.jobs) == 1


def test_a_job_that_vanished_is_not_made_again(shop: Shop) -> None:
    with shop.server:
        job = shop.run().job
        path = shop.project.provider_job("tuned")
        save_provider_job(path, job.model_copy(update={"state": "created", "serving": None}))
        shop.server.jobs.clear()
        with pytest.raises(UserError, match=r"does not have the job.*--force"):
            shop.run()
    assert shop.server.jobs == {}


def test_a_name_that_is_trained_here_is_taken(together: Shop) -> None:
    (together.project.model("tuned")).mkdir(parents=True)
    with together.server, pytest.raises(UserError, match="another name: --as tuned-2"):
        together.run()


def test_a_name_of_another_provider_is_taken(together: Shop) -> None:
    with together.server:
        together.run()
    with pytest.raises(UserError, match="is a job at together"):
        run(
            together.project,
            TrainConfig(),
            StudentConfig(model="x"),
            name="tuned",
            provider="fireworks",
            agree=together.agree,
            environ={"FIREWORKS_API_KEY": "k" * 20},
        )


def test_changed_data_before_the_job_starts_over(together: Shop) -> None:
    server = together.server
    assert isinstance(server, TogetherTuning)
    server.allowed = False
    with server:
        with pytest.raises(UserError, match="credit of"):
            together.run()
        together.curate(note=" changed")
        server.allowed = True
        together.run()
    assert len(server.files) == 4 and len(server.jobs) == 1
    used = server.files[server.orders[0]["training_file"]]["content"]
    assert b"changed" in used


def test_a_price_beyond_the_agreed_one_is_asked_again(together: Shop) -> None:
    with together.server:
        together.run()
    assert len(together.asked) == 2 and "asked again" in together.asked[0] and "$1.25" in together.asked[1]


def test_a_refused_price_is_asked_again(together: Shop) -> None:
    answers = iter([True, False, False, True])
    asked: list[str] = []

    def agree(question: str) -> bool:
        asked.append(question)
        return next(answers)

    together.agree = agree  # type: ignore[method-assign]
    with together.server:
        for _ in range(2):
            with pytest.raises(UserError, match="price was not accepted"):
                together.run()
            assert together.server.jobs == {}
        together.run()
    assert len(asked) == 4 and len(together.server.jobs) == 1 and len(together.server.files) == 2


def test_force_pays_for_no_second_job_while_one_runs(shop: Shop) -> None:
    with shop.server:
        job = shop.run().job
        path = shop.project.provider_job("tuned")
        save_provider_job(path, job.model_copy(update={"state": "created", "serving": None}))
        shop.server.word = "RUNNING"
        with pytest.raises(UserError, match=r"would pay for two.*--cancel"):
            shop.run(force=True)
        assert len(shop.server.jobs) == 1
        shop.server.word = None
        shop.server.jobs.clear()
        shop.run(force=True)
    assert len(shop.server.jobs) == 1


def test_no_estimate_and_no_price_is_an_error(together: Shop) -> None:
    server = together.server
    assert isinstance(server, TogetherTuning)
    server.estimates = False
    with server:
        with pytest.raises(UserError, match="usd_per_million_tokens"):
            together.run()
        job = together.run(usd_per_million_tokens=2.0).job
    assert job.state == "succeeded" and job.estimate_usd is not None


def test_an_estimate_is_waited_for(together: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distil.calls.fine_tuning.together.ESTIMATE_S", 0.001)
    server = together.server
    assert isinstance(server, TogetherTuning)
    server.unvalidated = 3
    with server:
        assert together.run().job.estimate_usd == 1.25
    asked = next(seen.body for seen in server.seen if seen.path.endswith("/estimate-price"))
    assert asked["n_evals"] == asked["n_epochs"] == server.orders[0]["n_evals"]


def test_data_that_the_estimate_refuses(together: Shop) -> None:
    server = together.server
    assert isinstance(server, TogetherTuning)
    server.estimates, server.unavailable = False, "train_file_invalid"
    with server, pytest.raises(WorkFailed, match="training file is invalid"):
        together.run()
    assert server.jobs == {}


def test_a_name_that_is_no_models_name(together: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be shown inside a command to copy."""
    shown = TogetherTuning.shown
    monkeypatch.setattr(
        TogetherTuning, "shown", lambda server, name: shown(server, name) | {"model_output_name": "x; rm -rf ~"}
    )
    with together.server, pytest.raises(WorkFailed, match="names no model"):
        together.run()


def test_an_unknown_price_is_asked_for(tmp_path: Path) -> None:
    shop = Shop("azure", tmp_path)
    section = TrainConfig()
    with shop.server, pytest.raises(UserError, match=r"train\.usd_per_million_tokens"):
        run(
            shop.project,
            section,
            StudentConfig(model=BASES["azure"]),
            name="tuned",
            provider="azure",
            agree=shop.agree,
            environ=shop.server.environ,
        )
    assert shop.server.files == {}


def test_a_model_that_is_not_tunable(tmp_path: Path) -> None:
    shop = Shop("fireworks", tmp_path)
    with shop.server, pytest.raises(UserError, match="does not tune"):
        shop.run(base="frozen")
    azure = Shop("azure", tmp_path / "azure")
    assert isinstance(azure.server, AzureTuning)
    azure.server.tunable = False
    with azure.server, pytest.raises(UserError, match=r"does not tune .*together"):
        azure.run()


def test_a_key_of_several_accounts(tmp_path: Path) -> None:
    shop = Shop("fireworks", tmp_path)
    assert isinstance(shop.server, FireworksTuning)
    shop.server.accounts.append("other-team")
    with shop.server:
        with pytest.raises(UserError, match="FIREWORKS_ACCOUNT_ID"):
            shop.run()
        shop.run(environ=shop.server.environ | {"FIREWORKS_ACCOUNT_ID": "my-team"})
    assert len(shop.server.jobs) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "logits"}, "train.method=sft"),
        ({"epochs": 2.5}, "train.epochs=2"),
        ({"epochs": 30.0}, "at most 20"),
        ({"learning_rate": 1.0}, "1e-07 to 0.01"),
        ({"target": "reference"}, "train.target: teacher"),
    ],
)
def test_settings_that_no_provider_takes(together: Shop, settings: dict[str, object], words: str) -> None:
    with together.server, pytest.raises(UserError) as caught:
        together.run(**settings)
    assert words in str(caught.value) and together.server.files == {}


def test_a_rank_beyond_the_models(together: Shop) -> None:
    student = StudentConfig(model=BASES["together"], adapter="lora", lora_rank=512)
    with together.server, pytest.raises(UserError, match=r"student\.lora_rank=64"):
        together.run(student=student)


@pytest.mark.parametrize(
    ("provider", "base", "day", "closed"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", "2026-11-29", False),
        ("openai", "gpt-3.5-turbo", "2026-11-29", True),
        ("openai", "gpt-3.5-turbo", "2026-10-22", False),
        ("openai", "gpt-4.1-mini-2025-04-14", "2027-01-06", True),
        ("together", "Qwen/Qwen3-8B", "2030-01-01", False),
    ],
)
def test_a_closed_provider_says_where_to_go(provider: str, base: str, day: str, closed: bool) -> None:
    try:
        require_open(OFFERS[provider], base, date.fromisoformat(day))
    except UserError as error:
        assert closed and "--provider together" in str(error) and "Nothing was sent" in str(error)
    else:
        assert not closed


def test_what_is_closed_for_some_is_said_first(tmp_path: Path) -> None:
    shop = Shop("openai", tmp_path)
    shop.says = False
    with shop.server, pytest.raises(UserError):
        shop.run()
    assert "2026-05-07" in shop.asked[0] and "2027-01-06" in shop.asked[0]
