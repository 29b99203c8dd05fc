"""Cutting and packing: no document sees another, positions restart, and however a step is cut its loss is the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.objectives.settings import LABELS_ONLY
from distil.train.batches import StepSampler, micro_batches, pack, pad, placeholder, units_of
from distil.train.examples import Tokenized
from distil.train.objective import Task, install_objective, remove_objective
from distil.train.packing import PackedLayout, _to_grid, can_pack, no_mask, packed_attention, use_packed
from tests.tiny import tiny_model


def example(number: int, length: int, prompt: int) -> Tokenized:
    generator = torch.Generator().manual_seed(number)
    ids = torch.randint(3, 300, (length,), generator=generator).tolist()
    return Tokenized(f"e{number}", ids, [-100] * prompt + ids[prompt:], prompt)


EXAMPLES = [example(i, n, p) for i, (n, p) in enumerate([(9, 4), (17, 11), (5, 2), (30, 20), (12, 1)])]


def sums(model: Any, batches: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    total = 0.0
    for batch in batches:
        out = model(task=Task(None, LABELS_ONLY), batch=batch)
        out["loss"].backward()
        total += float(out["loss"].detach())
    return total, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("size", [1, 20, 40, 10_000])
def test_loss_and_gradients_do_not_depend_on_how_a_step_is_cut(packing: bool, size: int) -> None:
    model = tiny_model()
    labels = [torch.tensor([e.labels]) for e in EXAMPLES]
    expected = sum(
        torch.nn.functional.cross_entropy(
            model(torch.tensor([e.input_ids])).logits[0, :-1], label[0, 1:], reduction="sum"
        )
        for e, label in zip(EXAMPLES, labels, strict=True)
    )
    assert isinstance(expected, torch.Tensor)
    expected.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert can_pack(model)
    if packing:
        use_packed(model)
    install_objective(model)
    total, gradients = sums(model, micro_batches(EXAMPLES, size, packing=packing, pad_id=0))
    assert total == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], atol=2e-4, rtol=1e-4, msg=name)


def test_packed_documents_do_not_see_each_other() -> None:
    model = tiny_model()
    use_packed(model)
    alone = pack([EXAMPLES[1]]).hidden_states(model)
    other = [example(77, 9, 4), EXAMPLES[1], EXAMPLES[3]]
    together = pack(other).hidden_states(model)
    torch.testing.assert_close(together[:, 9 : 9 + 17], alone, atol=1e-6, rtol=1e-5)


def test_packing_equals_transformers_with_restarting_positions() -> None:
    model = tiny_model()
    batch = pack(list(EXAMPLES))
    theirs = model.model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False).last_hidden_state
    use_packed(model)
    torch.testing.assert_close(batch.hidden_states(model), theirs, atol=1e-6, rtol=1e-5)


def test_autocast_casts_before_the_grid_what_it_would_cast_after() -> None:
    layout = PackedLayout.of([5, 3, 8])
    query, key, value = (
        torch.randn(1, heads, 16, 8, generator=torch.Generator().manual_seed(heads)) for heads in (4, 2, 2)
    )
    grids = [_to_grid(tensor, layout) for tensor in (query, key, value)]
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = packed_attention(torch.nn.Module(), query, key, value, None, packed_layout=layout)
        whole = torch.nn.functional.scaled_dot_product_attention(
            grids[0], *(grid.repeat_interleave(2, dim=1) for grid in grids[1:]), is_causal=True
        )
    assert found.dtype == whole.dtype == torch.bfloat16
    assert torch.equal(found[0], whole.transpose(1, 2).reshape(-1, 4, 8)[layout.cells])


def test_a_sliding_window_limits_a_packed_document() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8, max_position_embeddings=256,
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    alone = model.model(torch.tensor([EXAMPLES[3].input_ids]), use_cache=False).last_hidden_state
    use_packed(model)
    together = pack([EXAMPLES[0], EXAMPLES[3]]).hidden_states(model)
    torch.testing.assert_close(together[:, 9:], alone, atol=1e-6, rtol=1e-5)


def test_a_model_that_caps_its_attention_is_not_packed() -> None:
    model = tiny_model()
    model.config.attn_logit_softcapping = 50.0
    assert not can_pack(model)


def test_no_position_predicts_the_next_documents_first_token() -> None:
    learning = [Tokenized(f"x{i}", [5, 6, 7], [5, 6, 7], 0) for i in range(3)]
    batch = pack(learning)
    keep, labels = batch.counted
    assert labels.tolist() == [6, 7] * 3
    assert keep.tolist() == [True, True, False] * 3


def test_padding_is_on_the_right_and_does_not_count() -> None:
    batch = pad(EXAMPLES[:3], pad_id=0)
    assert batch.input_ids.shape == (3, 17) and batch.tokens == 9 + 17 + 5 and batch.learned == 5 + 6 + 3
    assert batch.labels[2, 5:].eq(-100).all()


def test_a_placeholder_teaches_nothing_and_stays_connected() -> None:
    model = tiny_model()
    use_packed(model)
    install_objective(model)
    total, gradients = sums(model, [placeholder(EXAMPLES[0], packing=True, pad_id=0)])
    assert total == 0 and all(gradient.abs().max() == 0 for gradient in gradients.values())


def test_the_original_forward_comes_back() -> None:
    model = tiny_model()
    before = model(torch.tensor([[3, 4]])).logits
    install_objective(model)
    torch.testing.assert_close(model(torch.tensor([[3, 4]])).logits, before)
    remove_objective(model)
    assert "forward" not in model.__dict__


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 17),
    world=st.integers(1, 4),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_example_is_seen_once_per_epoch(count: int, batch_size: int, world: int, seed: int, epoch: int) -> None:
    lengths = [(i * 7) % 23 + 1 for i in range(count)]
    samplers = [StepSampler(lengths, batch_size, seed, rank, world) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    steps = list(zip(*samplers, strict=True))
    assert len(steps) == len(samplers[0])
    assert sorted(i for step in steps for part in step for i in part) == list(range(count))
    alone = StepSampler(lengths, batch_size, seed)
    alone.set_epoch(epoch)
    assert [sorted(i for part in step for i in part) for step in steps] == [sorted(step) for step in alone]


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=20),
    batch_size=st.integers(1, 7),
    world=st.integers(1, 3),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_one_answer_of_each_prompt_per_epoch(sizes: list[int], batch_size: int, world: int, seed: int) -> None:
    """Each is seen equally often: all of them once in as many epochs as a prompt has answers."""
    prompts = [prompt for prompt, size in enumerate(sizes) for _ in range(size)]
    rows = [Tokenized(str(i), [3, 4], [-100, 4], 1, prompt=f"p{prompt}") for i, prompt in enumerate(prompts)]
    units = units_of(rows)
    seen: list[int] = []
    for epoch in range(12):
        taken: list[int] = []
        for rank in range(world):
            sampler = StepSampler([2] * len(rows), batch_size, seed, rank, world, units)
            sampler.set_epoch(epoch)
            assert len(sampler) == len(list(sampler)) == -(-len(sizes) // batch_size)
            taken += [index for step in sampler for index in step]
        assert sorted(prompts[index] for index in taken) == list(range(len(sizes)))
        seen += taken
    assert all(seen.count(index) == 12 // sizes[prompt] for index, prompt in enumerate(prompts))


def test_texts_without_a_prompt_are_alone() -> None:
    rows = [Tokenized(str(i), [3, 4], [-100, 4], 1, prompt=name) for i, name in enumerate(["", "p", "", "p"])]
    assert units_of(rows) == [[0], [1, 3], [2]]


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30), size=st.integers(1, 100), packing=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_pass_is_within_its_limit_or_has_one_example(lengths: list[int], size: int, packing: bool) -> None:
    examples = [Tokenized(str(i), [3] * n, [-100] * n, n) for i, n in enumerate(lengths)]
    batches = micro_batches(examples, size, packing=packing, pad_id=0)
    assert sorted(e.id for b in batches for e in b.examples) == sorted(e.id for e in examples)
    for batch in batches:
        assert batch.input_ids.numel() <= size or len(batch.examples) == 1


def test_the_layout_places_documents_side_by_side() -> None:
    layout = PackedLayout.of([2, 3])
    assert layout.cells.tolist() == [0, 1, 3, 4, 5] and (layout.documents, layout.longest) == (2, 3)
    assert no_mask(torch.device("cpu")).dim() == 4
