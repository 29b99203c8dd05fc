"""The teacher in this process: token ids in, the final hidden states of the answer rows and their logits out.

Only answer rows meet the head, so prompts cost no projection and a whole (tokens, vocabulary) matrix never exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from distil.errors import UserError
from distil.ids import content_id, file_sha256
from distil.models.head import head_rows, output_head
from distil.models.unwrap import causal_model
from distil.signals.examples import TokenizedExample

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

LOGIT_BYTES = 256 * 2**20
"""Logits of one chunk of rows, in float32, take at most this."""


class LocalTeacher:
    """A loaded causal language model that is only asked for distributions."""

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        """model: in eval mode."""
        self.model = causal_model(model)
        self.device = next(self.model.parameters()).device
        self.head = output_head(self.model).detached()

    @property
    def vocab_size(self) -> int:
        return int(self.head.weight.shape[0])

    @property
    def hidden_size(self) -> int:
        return int(self.head.weight.shape[1])

    def hidden_rows(self, examples: Sequence[TokenizedExample]) -> list[Tensor]:
        """The (R_i, H) final hidden states (after the last norm) of each example's rows, from one forward pass."""
        longest = max(len(example.token_ids) for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.long)
        mask = torch.zeros(len(examples), longest, dtype=torch.long)
        # Padded on the right: positions stay as they are, and no row looks at padding.
        for i, example in enumerate(examples):
            ids[i, : len(example.token_ids)] = torch.tensor(example.token_ids)
            mask[i, : len(example.token_ids)] = 1
        with torch.inference_mode():
            inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device), "use_cache": False}
            hidden = head_rows(self.model, inputs)
            positions = [torch.tensor(example.positions, device=self.device) for example in examples]
            return [hidden[i, rows] for i, rows in enumerate(positions)]

    def logit_chunks(self, hidden: Tensor) -> Iterator[Tensor]:
        """(C, V) float32 logits of consecutive rows; few enough at a time to keep the byte budget."""
        step = max(1, LOGIT_BYTES // (4 * self.vocab_size))
        for start in range(0, len(hidden), step):
            with torch.inference_mode():
                logits = self.head.wide_logits(hidden[start : start + step])
            yield logits.cpu() if logits.device.type == "mps" else logits  # mps has no float64, which draws need

    def check_head(self, example: TokenizedExample) -> None:
        """Raises UserError when head and body do not give the model's own logits (an architecture that is built otherwise)."""
        with torch.inference_mode():
            ids = torch.tensor([example.token_ids], device=self.device)
            expected = self.model(input_ids=ids, use_cache=False).logits[0, example.positions].float()
            found = self.head.wide_logits(self.hidden_rows([example])[0])
        worst = float((found - expected).abs().max()) if len(expected) else 0.0
        if worst > 0.02 * max(1.0, float(expected.abs().max())):
            raise UserError(
                f"The teacher's architecture ({type(self.model).__name__}) computes its logits in a way that Distil does not "
                f"know: they differ by {worst:.3g} from head times hidden states. Use train.signal: online with this teacher."
            )


def revision_of(ref_folder: str, model: PreTrainedModel) -> str:
    """Which weights these are: the hub's commit, or a hash over the weight files of a local folder."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit and not Path(ref_folder).is_dir():
        return f"commit_{commit}"
    weights = (".safetensors", ".bin")
    files = sorted(p for p in Path(ref_folder).glob("*") if p.suffix in weights or p.name == "config.json")
    return content_id("weights", [(path.name, file_sha256(path)) for path in files])


def to_numpy(tensor: Tensor, dtype: str) -> NDArray[np.generic]:
    """A tensor in a stored dtype; bfloat16, which numpy lacks, as bits in uint16. Raises UserError where float16 overflows."""
    target = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    cast = tensor.to(target).contiguous().cpu()
    if dtype == "float16" and not bool(torch.isfinite(cast).all()):
        raise UserError("The teacher's hidden states leave the range of float16. Set signals.dtype: bfloat16.")
    return cast.view(torch.int16).numpy().view(np.uint16) if dtype == "bfloat16" else cast.numpy()
