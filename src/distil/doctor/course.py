"""What a training's curve says: broken, too high a rate, unsteady, back up again, flat, too low a rate, not finished, or fine.

Numbers in, a state out: no files, no wording of cures. The thresholds are explained in docs/doctor.md.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

State = Literal[
    "none", "short", "broken", "too high", "returned", "unsteady", "flat", "too low", "still falling", "fine"
]
FEWEST_STEPS = 20
"""A shorter training (a trial with --max-steps) says nothing about whether the student learns."""
FEWEST_LINES = 12
"""Lines of metrics.jsonl from which the shape of a curve is read; with fewer only its ends are."""
FALL = 0.02
"""Share of the first loss by which it must have fallen."""
LITTLE = 0.5
"""Times the loss of guessing all tokens alike above which a student has learned next to nothing."""
BLOWN_UP = 1.5
"""Times the loss of guessing all tokens alike, ln(vocabulary); and 1.3 times the first loss for a curve that rises above it."""
ABOVE_START = 1.3
RETURNED, RETURNED_TIMES = 0.05, 1.5
"""A rise counts from 5% of all that was learned, if the loss is then at least 1.5 times its lowest; ..."""
RETURNED_ALONE, RETURNED_LEAST = 0.25, 1.2
"""... and from 25% if it is at least 1.2 times: a pretrained student that fits from the start has little to learn."""
SPIKE = 2.0
"""Times its neighbors' median that a line's loss is at a spike, and at least six times the curve's usual scatter."""
SPIKE_PART = 0.02
"""Share of all that was learned that a spike is at least."""
GRADIENT = 100.0
"""A gradient's norm from which it is a spike, if it is also so many times the median."""
PACE = 0.4
"""Fall per unit of learning rate in the last 40% of a training, against that of the whole: of a curve that has come to rest it is
near 0, of a straight line 1. At 0.4 an exponential curve has a tenth of its way before it."""
FAR_RATE = 3.0
"""Times that a rate is below the fitting one, to be what a slow training is blamed on."""
NOISE = 4.0
"""Standard errors that a rise, or the fall at the end, is at least."""


@dataclass(frozen=True)
class Curves:
    """One training: (step, value) pairs."""

    train: list[tuple[float, float]]
    validation: list[tuple[float, float]]
    epochs: list[tuple[float, float]]
    """(step, epoch) of each validation."""
    rates: dict[float, float] = field(default_factory=dict)
    """Step -> learning rate."""
    gradients: dict[float, float] = field(default_factory=dict)
    """Step -> norm of the gradient before it was clipped."""
    labels: dict[float, float] = field(default_factory=dict)
    """Step -> cross-entropy of the answer's tokens."""


class Course(NamedTuple):
    """The state of a training, and the numbers that show it."""

    state: State
    seen: str
    """A sentence with the numbers; "" where nothing was logged."""


def read_course(
    curves: Curves | None,
    *,
    rate: float | None = None,
    fits: float | None = None,
    vocabulary: int | None = None,
    before: float | None = None,
) -> Course:
    """rate: the peak that was trained with; fits: the one that fits the student; vocabulary: its tokens; before: the loss before
    the first step."""
    if curves is None or not curves.train:
        return Course("none", "")
    steps, losses = [step for step, _ in curves.train], [loss for _, loss in curves.train]
    broken = next((step for step, loss in curves.train if not math.isfinite(loss)), None)
    broken = broken or next((step for step, loss in curves.validation if not math.isfinite(loss)), None)
    if broken is not None:
        return Course("broken", f"the loss is not finite at step {broken:g}.")
    start, end = _mean(losses[: _part(losses)]), _mean(losses[-_part(losses) :])
    said = f"training loss went from {start:.3f} to {end:.3f} over {len(losses)} lines of metrics.jsonl"
    if steps[-1] < FEWEST_STEPS:
        return Course("short", f"{said}. {steps[-1]:g} steps are too few to judge.")
    if blown := _blown_up(curves, losses, vocabulary):
        return Course("too high", f"{said}; {blown}{_rates(rate, fits)}.")
    if len(losses) >= FEWEST_LINES and (unsteady := _rise(curves.train) or _spikes(curves)):
        return Course(unsteady.state, f"{said}; {unsteady.seen}{_rates(rate, fits)}.")
    low, high = _far(rate, fits)
    fell = len(losses) >= FEWEST_LINES and math.log(max(losses[0], 1e-9) / max(end, 1e-9)) > NOISE * _noise(losses) > 0
    if len(losses) >= 3 and not fell and end >= (1 - FALL) * max(start, before or start):
        return Course("too low" if low else "too high" if high else "flat", f"{said}{_rates(rate, fits)}.")
    if vocabulary and vocabulary > 1 and _told(curves)[-1] > LITTLE * math.log(vocabulary):
        guessing = f"{said}, where guessing among {vocabulary:,} tokens gives {math.log(vocabulary):.2f}"
        return Course("too low" if low else "too high" if high else "flat", f"{guessing}{_rates(rate, fits)}.")
    pace = _pace(curves)
    if pace is not None and pace >= PACE:
        still = f"{said}, and at the end it still fell at {pace:.0%} of its average pace for the learning rate it had"
        return Course("too low" if low else "still falling", f"{still}{_rates(rate, fits)}.")
    return Course("fine", f"{said}.")


def _told(curves: Curves) -> list[float]:
    """The cross-entropy of the answers where it was logged, else the loss."""
    return [curves.labels.get(step, loss) for step, loss in curves.train]


def _part(losses: Sequence[float]) -> int:
    return max(1, len(losses) // 5)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _far(rate: float | None, fits: float | None) -> tuple[bool, bool]:
    """Whether the rate is far below, or far above, the one that fits."""
    if rate is None or fits is None:
        return False, False
    return rate * FAR_RATE < fits, rate > FAR_RATE * fits


def _rates(rate: float | None, fits: float | None) -> str:
    if rate is None or fits is None:
        return ""
    return f"; its learning rate was {rate:.2g}, and {fits:.2g} fits its size"


def _blown_up(curves: Curves, losses: Sequence[float], vocabulary: int | None) -> str:
    """The student was destroyed: its loss is far above that of guessing, or above where it began."""
    smooth = _smoothed(losses, 3)
    after = smooth[max(1, len(smooth) // 10) :]
    if after and max(after) > ABOVE_START * max(losses[0], smooth[0]):
        return f"it rose to {max(after):.3f}, above where it began"
    if vocabulary and vocabulary > 1:
        guessing = math.log(vocabulary)
        worst = max(_smoothed(_told(curves), 3))  # a single line is a spike
        if worst > BLOWN_UP * guessing:
            return f"it reached {worst:.3f}, where guessing among {vocabulary:,} tokens gives {guessing:.2f}"
    return ""


class _Unsteady(NamedTuple):
    state: State
    seen: str


def _noise(losses: Sequence[float]) -> float:
    """Relative standard deviation of a line's loss, from the differences of neighbors, so that a trend does not count."""
    logs = [math.log(max(loss, 1e-9)) for loss in losses]
    steps = [b - a for a, b in pairwise(logs)]
    usual = statistics.median(steps)
    return 1.4826 * statistics.median(abs(step - usual) for step in steps) / math.sqrt(2)


def _rise(train: Sequence[tuple[float, float]]) -> _Unsteady | None:
    """The loss went up again and stayed there, or came down later: by blocks of lines, and beyond their noise."""
    losses = [loss for _, loss in train]
    width = max(3, len(losses) // 10)
    starts = range(len(losses) % width, len(losses), width)
    blocks = [statistics.median(losses[at : at + width]) for at in starts]  # a single line is a spike
    sure = NOISE * _noise(losses) * math.sqrt(2 / width)
    lowest, best, found = 0, blocks[0], None
    for index, value in enumerate(blocks):
        if value < best:
            lowest, best = index, value
        learned, rise = losses[0] - best, value - best
        if learned <= 0 or math.log(max(value, 1e-9) / max(best, 1e-9)) <= sure:
            continue
        counts = rise >= RETURNED * learned and value >= RETURNED_TIMES * best
        counts |= rise >= RETURNED_ALONE * learned and value >= RETURNED_LEAST * best
        if counts and (found is None or rise > found[0]):
            found = (rise, value, best, starts[index] + width - 1, starts[lowest] + width - 1)
    if found is None:
        return None
    _, value, before, at, best_at = found
    step, best_step, end = train[at][0], train[best_at][0], blocks[-1]
    if end >= before + (value - before) / 2:
        return _Unsteady("returned", f"it was {before:.3f} at step {best_step:g} and is {end:.3f} at the end")
    return _Unsteady("unsteady", f"it rose from {before:.3f} to {value:.3f} at step {step:g}, and fell again later")


def _spikes(curves: Curves) -> _Unsteady | None:
    """Single lines far above their neighbors."""
    train = curves.train
    logs = [math.log(max(loss, 1e-9)) for _, loss in train]
    learned = max(train[0][1] - min(loss for _, loss in train), 1e-9)
    above = []
    for index, value in enumerate(logs):
        near = [*logs[max(0, index - 4) : index], *logs[index + 1 : index + 5]]
        above.append(value - statistics.median(near))
    scatter = 1.4826 * statistics.median(abs(value) for value in above)
    limit = max(math.log(SPIKE), 6 * scatter)
    skipped = max(2, len(train) // 10)
    spikes = [
        (step, loss, math.exp(logs[index] - above[index]))
        for index, (step, loss) in enumerate(train)
        if index >= skipped
        and above[index] > limit
        and loss - math.exp(logs[index] - above[index]) > SPIKE_PART * learned
    ]
    norms = list(curves.gradients.values())[skipped:]
    usual = statistics.median(norms) if norms else 0.0
    steep = [(s, n) for s, n in list(curves.gradients.items())[skipped:] if n >= GRADIENT and n > GRADIENT * usual]
    if not spikes and not steep:
        return None
    said = []
    if spikes:
        step, loss, before = max(spikes, key=lambda spike: spike[1] / spike[2])
        said.append(f"{_times(len(spikes), 'spike')}, the largest {loss:.3f} at step {step:g} beside {before:.3f}")
    if steep:
        step, norm = max(steep, key=lambda pair: pair[1])
        said.append(f"a gradient of norm {norm:,.0f} at step {step:g} (usually {usual:.2g})")
    return _Unsteady("unsteady", ", ".join(said))


def _times(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)


def _smoothed(losses: Sequence[float], width: int) -> list[float]:
    """Medians over `width` lines around each."""
    half = width // 2
    return [statistics.median(losses[max(0, at - half) : at + half + 1]) for at in range(len(losses))]


def _pace(curves: Curves) -> float | None:
    """How fast the loss still falls at the end, for the rate it has there, against the whole training; None where it can't be
    said."""
    train, rates = curves.train, curves.rates or {step: 1.0 for step, _ in curves.train}
    if len(train) < FEWEST_LINES or not all(step in rates for step, _ in train):
        return None
    walked, at, before = [], 0.0, 0.0
    for step, _ in train:
        at += rates[step] * (step - before)
        walked.append(at)
        before = step
    smooth = _smoothed([loss for _, loss in train], 3)
    whole, first = walked[-1], walked[0]
    late = next(index for index, value in enumerate(walked) if value >= 0.6 * whole)
    end = _mean([loss for _, loss in train[-max(1, len(train) // 10) :]])
    fallen, rest = smooth[0] - end, whole - walked[late]
    if fallen <= 0 or rest <= 0 or whole <= first:
        return None
    ends = max(1, len(train) // 10)
    if smooth[late] - end <= NOISE * _noise([loss for _, loss in train]) * smooth[late] * math.sqrt(1 / 3 + 1 / ends):
        return 0.0  # it may have come to rest
    return ((smooth[late] - end) / rest) / (fallen / (whole - first))
