"""The teacher in this process: token ids in, the final hidden states of the answer rows and their logits out.

Only answer rows meet the head, so prompts cost no projection and a whole (tokens, vocabulary) matrix never exists. Called by
writing.py; teachers behind an API are api.py's business. Not a trainer's online teacher: that one lives in train/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distil.errors import UserError
from distil.ids import content_id, file_sha256

if TYPE_CHECKING:
    from torch import Tensor

LOGIT_BYTES = 256 * 2**20
"""Logits of one chunk of rows, in float32, take at most this."""


@dataclass(frozen=True)
class Item:
    """One example as token ids; rows are its answer tokens that have a token before them."""

    example_id: str
    token_ids: list[int]
    answer_mask: list[bool]

    @property
    def positions(self) -> list[int]:
        """Where the model's output predicts an answer token: t - 1 for each answer token t >= 1, ascending."""
        return [t - 1 for t in range(1, len(self.token_ids)) if self.answer_mask[t]]


class LocalTeacher:
    """A loaded causal language model that is only asked for distributions."""

    def __init__(self, model: Any) -> None:
        """model: a transformers PreTrainedModel in eval mode, or a PeftModel around one."""
        from distil.models.head import output_head

        model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.model = model
        self.device = next(model.parameters()).device
        self.head = output_head(model).detached()
        self.body = getattr(model, model.base_model_prefix)

    @property
    def vocab_size(self) -> int:
        return int(self.head.weight.shape[0])

    @property
    def hidden_size(self) -> int:
        return int(self.head.weight.shape[1])

    def hidden_rows(self, items: Sequence[Item]) -> list[Tensor]:
        """The (R_i, H) final hidden states (after the last norm) of each item's rows, from one forward pass."""
        import torch

        longest = max(len(item.token_ids) for item in items)
        ids = torch.zeros(len(items), longest, dtype=torch.long)
        mask = torch.zeros(len(items), longest, dtype=torch.long)
        for i, item in enumerate(items):  # padded on the right: positions stay as they are, and no row looks at padding
            ids[i, : len(item.token_ids)] = torch.tensor(item.token_ids)
            mask[i, : len(item.token_ids)] = 1
        with torch.inference_mode():
            output = self.body(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device), use_cache=False
            ).last_hidden_state
            return [output[i, torch.tensor(item.positions, device=self.device)] for i, item in enumerate(items)]

    def logit_chunks(self, hidden: Tensor) -> Iterator[Tensor]:
        """(C, V) float32 logits of consecutive rows; few enough at a time to keep the byte budget."""
        import torch

        step = max(1, LOGIT_BYTES // (4 * self.vocab_size))
        for start in range(0, len(hidden), step):
            with torch.inference_mode():
                logits = self.head.wide_logits(hidden[start : start + step])
            yield logits.cpu() if logits.device.type == "mps" else logits  # mps has no float64, which draws need

    def check_head(self, item: Item) -> None:
        """Raises UserError when head and body do not give the model's own logits (an architecture that is built otherwise)."""
        import torch

        with torch.inference_mode():
            ids = torch.tensor([item.token_ids], device=self.device)
            expected = self.model(input_ids=ids, use_cache=False).logits[0, item.positions].float()
            found = self.head.wide_logits(self.hidden_rows([item])[0])
        worst = float((found - expected).abs().max()) if len(expected) else 0.0
        if worst > 0.02 * max(1.0, float(expected.abs().max())):
            raise UserError(
                f"The teacher's architecture ({type(self.model).__name__}) computes its logits in a way that Distil does not "
                f"know: they differ by {worst:.3g} from head times hidden states. Use train.signal: online with this teacher."
            )


def revision_of(ref_folder: str, model: Any) -> str:
    """Which weights these are: the hub's commit, or a hash over the weight files of a local folder."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit and not Path(ref_folder).is_dir():
        return f"commit_{commit}"
    files = sorted(
        p for p in Path(ref_folder).glob("*") if p.suffix in (".safetensors", ".bin") or p.name == "config.json"
    )
    return content_id("weights", [(path.name, file_sha256(path)) for path in files])


def to_numpy(tensor: Tensor, dtype: str) -> np.ndarray[Any, Any]:
    """A tensor in a stored dtype; bfloat16, which numpy lacks, as bits in uint16. Raises UserError where float16 overflows."""
    import torch

    target = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    cast = tensor.to(target).contiguous().cpu()
    if dtype == "float16" and not bool(torch.isfinite(cast).all()):
        raise UserError("The teacher's hidden states leave the range of float16. Set signals.dtype: bfloat16.")
    return cast.view(torch.int16).numpy().view(np.uint16) if dtype == "bfloat16" else cast.numpy()
