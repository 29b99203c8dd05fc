"""Generation: the same tokens as transformers' generate, with honest log-probabilities, in any batch."""

from __future__ import annotations

import pytest

from distil.errors import UserError
from distil.models.generate import generate
from distil.models.load import Loaded, load
from distil.models.render import render_prompt
from distil.records import Sampling
from tests.tiny import save_tiny, tiny_examples


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(save_tiny(tmp_path_factory.mktemp("tiny"))), device="cpu")


@pytest.fixture(scope="module")
def prompts(loaded: Loaded) -> list[list[int]]:
    return [render_prompt(loaded.tokenizer, e.prompt_messages) for e in tiny_examples(7)]


def test_greedy_tokens_of_a_ragged_batch_equal_transformers(loaded: Loaded, prompts: list[list[int]]) -> None:
    import torch

    answers = generate(loaded, prompts, Sampling(temperature=0, max_tokens=80), batch_size=4)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([prompt])
        expected = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=80)
        assert answer.token_ids == expected[0, len(prompt) :].tolist()


def test_logprobs_and_entropies_are_untempered(loaded: Loaded, prompts: list[list[int]]) -> None:
    import torch

    answers = generate(loaded, prompts, Sampling(temperature=1.3, top_p=0.8, max_tokens=12), seed=1)
    for prompt, answer in zip(prompts, answers, strict=True):
        logits = loaded.model(torch.tensor([prompt + answer.token_ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1)
        expected = logprobs.gather(1, torch.tensor(answer.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(answer.token_logprobs), expected, atol=1e-4, rtol=1e-4)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        torch.testing.assert_close(torch.tensor(answer.token_entropies), entropy, atol=1e-4, rtol=1e-4)


def test_a_seed_repeats_the_samples_and_another_seed_does_not(loaded: Loaded, prompts: list[list[int]]) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=12)
    first, again, other = (generate(loaded, prompts, sampling, seed=seed) for seed in (3, 3, 4))
    assert [g.token_ids for g in first] == [g.token_ids for g in again] != [g.token_ids for g in other]


def test_a_nucleus_of_nothing_is_greedy(loaded: Loaded, prompts: list[list[int]]) -> None:
    greedy = generate(loaded, prompts, Sampling(temperature=0, max_tokens=8))
    nucleus = generate(loaded, prompts, Sampling(temperature=1, top_p=1e-9, max_tokens=8), seed=0)
    assert [g.token_ids for g in greedy] == [g.token_ids for g in nucleus]


def test_a_stop_string_and_the_end_token_end_an_answer(loaded: Loaded, prompts: list[list[int]]) -> None:
    seen: list[int] = []
    free = generate(loaded, prompts, Sampling(temperature=1, max_tokens=16), on_progress=seen.append, seed=0)
    assert sum(seen) == len(prompts)
    stop = next(c for g in free for c in g.text if c.isascii() and c.isalnum())
    cut = generate(loaded, prompts, Sampling(temperature=1, max_tokens=16, stop=[stop]), seed=0)
    assert all(stop not in answer.text for answer in cut)
    assert any(answer.finish_reason == "stop" and len(answer.token_ids) < 16 for answer in cut)


def test_a_prompt_that_fills_the_context_is_refused(loaded: Loaded) -> None:
    with pytest.raises(UserError, match="reads at most 256"):
        generate(loaded, [[5] * 256], Sampling(max_tokens=4))
    assert len(generate(loaded, [[5] * 250], Sampling(temperature=0, max_tokens=50))[0].token_ids) <= 6


def test_a_long_prompt_does_not_shorten_the_answers_beside_it(loaded: Loaded, prompts: list[list[int]]) -> None:
    sampling, seen = Sampling(temperature=0, max_tokens=60), list[int]()
    long = [5] * 250
    alone = [generate(loaded, [prompt], sampling)[0] for prompt in (long, *prompts)]
    together = generate(loaded, [long, *prompts], sampling, on_progress=seen.append)
    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    assert len(together[0].token_ids) <= 6 < max(len(a.token_ids) for a in together[1:])
    assert sum(seen) == len(together)


def test_tokens_are_drawn_by_their_probability() -> None:
    import torch

    from distil.models.generate import _draw

    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    logits = probabilities.log().expand(20_000, -1)
    drawn, _, _ = _draw(logits, Sampling(temperature=1.0), torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=6) / len(drawn)
    torch.testing.assert_close(shares, probabilities, atol=0.015, rtol=0)
    assert not shares[probabilities == 0].any()
