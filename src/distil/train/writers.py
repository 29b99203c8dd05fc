"""Who writes the student's own texts, as the `train` section says it, and how: for on_policy and for the pairs of dpo.

What becomes of the texts: rollouts.py, pairs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from distil.errors import UserError
from distil.models.load import Loaded, context_length
from distil.models.unwrap import causal_model
from distil.records import Sampling
from distil.train.config import TrainConfig
from distil.train.examples import Tokenized
from distil.train.proposals import Together
from distil.train.rollouts import Rollouts, Writer, in_process
from distil.train.rollouts import Together as TogetherWriter
from distil.train.signal.server import Address, served_writer
from distil.train.signal.sources import OnlineSource, SignalSource


def make_rollouts(
    section: TrainConfig, student: Loaded, train: Sequence[Tokenized], source: SignalSource
) -> Rollouts | None:
    """The writer of the student's own texts, for on_policy."""
    if section.method != "on_policy" or section.on_policy_share == 0:
        return None
    if section.rollout_server is None and section.fsdp:
        raise UserError(
            "on_policy with train.fsdp: true can't generate in this process, where the weights are sharded. Set "
            "train.rollout_server, or train.fsdp: false."
        )
    return Rollouts(
        writer(section, student),
        share=section.on_policy_share,
        sampling=sampling_of(section, student, train),
        context=context_length(causal_model(student.model)),
        seed=section.seed,
        decode=partial(student.decode, skip_special_tokens=True) if section.cross_tokenizer else None,
        together=_together(section, student, source),
    )


def _together(section: TrainConfig, student: Loaded, source: SignalSource) -> TogetherWriter | None:
    """Both write, where train.rollout_teacher_top_k asks for it. UserError without one live teacher of the same tokenizer."""
    if section.rollout_teacher_top_k is None:
        return None
    if not isinstance(source, OnlineSource) or len(source.teachers) != 1 or section.rollout_server is not None:
        raise UserError(
            "train.rollout_teacher_top_k needs one teacher with the student's tokenizer in this process, which reads every token "
            "as it is written. Set train.signal: online with a single local teacher, and leave train.rollout_server and "
            "train.cross_tokenizer out; or leave train.rollout_teacher_top_k out."
        )
    both = Together(student, source.teachers[0], section.rollout_teacher_top_k)
    return lambda *asked: [text.ids for text in both.write(*asked)]


def writer(section: TrainConfig, student: Loaded) -> Writer:
    """The student in this process, or at its server."""
    return served_writer(Address.parse(section.rollout_server)) if section.rollout_server else in_process(student)


def sampling_of(section: TrainConfig, student: Loaded, train: Sequence[Tokenized]) -> Sampling:
    """How the student writes its own texts: as long as the longest training answer, where nothing else is said."""
    context = context_length(causal_model(student.model))
    longest = max(len(e.input_ids) - e.prompt_length for e in train)
    tokens = section.rollout_tokens if section.rollout_tokens is not None else longest
    return Sampling(
        temperature=section.rollout_temperature,
        top_p=section.rollout_top_p,
        max_tokens=tokens if context is None else min(tokens, context),
    )
