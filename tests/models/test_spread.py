"""A teacher that is larger than one device: as far as a machine without GPUs can show, with memory and disk as the devices."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from distil.errors import UserError
from distil.models.head import head_rows, output_head
from distil.models.load import load
from distil.models.spread import Spread, describe, spread_of
from tests.families import tiny_family
from tests.tiny import save_tiny, tiny_tokenizer


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "qwen3_moe", "gpt2"])
def test_a_model_on_the_disk_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    """Its layers are on the disk, and the ends, which the losses read, in memory."""
    tiny_family(family).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    whole = load(str(tmp_path), device="cpu").model
    model = load(str(tmp_path), device="cpu", spread=Spread({"cpu": "1KB"})).model
    assert any(weight.is_meta for weight in model.parameters()) and "on disk" in describe(model)
    inputs = {"input_ids": torch.arange(3, 40)[None], "use_cache": False}
    with torch.no_grad():
        expected = whole(**inputs).logits
        torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=0)
        found = output_head(model).logits(head_rows(model, inputs))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_what_fits_is_not_spread_and_the_disk_is_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny(tmp_path / "model")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = load(str(folder), device="cpu", spread=spread_of("auto")).model
    assert describe(whole) == "all on one device" and not any(weight.is_meta for weight in whole.parameters())
    assert f"{folder}: all on one device." in capsys.readouterr().err
    model = load(str(folder), device="cpu", spread=spread_of({"cpu": "1KB"})).model
    assert f"{folder}: {describe(model)}." in capsys.readouterr().err and "on disk" in describe(model)
    assert list(tmp_path.glob("distil-offload-*"))
    del model
    gc.collect()
    assert not list(tmp_path.glob("distil-offload-*"))


def test_a_size_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"teacher_memory is \{'cpu': 'lots'\}, which can't be read.*20GiB") as error:
        load(str(save_tiny(tmp_path)), device="cpu", spread=Spread({"cpu": "lots"}))
    assert "\n" not in str(error.value)
