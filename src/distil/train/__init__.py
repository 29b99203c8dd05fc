"""Stage `train`: the student learns. Start at stage.py, then run.py (the order of events) and trainer.py (one step).

From tokens to gradients:
1. setup.py turns the config into a `Prepared` training: student, examples, signal source, trainer.
2. examples.py renders each conversation to token ids, with labels where the student learns (`Tokenized`).
3. batches.py picks the examples of an optimizer step (`StepSampler`) and cuts them into forward passes (`MicroBatch`).
4. `DistilTrainer.training_step` runs the passes. For on_policy, rollouts.py first replaces answers by the student's own.
5. signal/ returns the teacher's side of a pass: hidden states and head, cached rows, or top-k from a server (`Signal`).
6. objective.py runs inside the student's forward (packing.py: its attention), takes the hidden states of the counted rows, and
   calls `fused_linear_distillation`: sums of losses, whose gradients are computed in the same pass.
7. The trainer scales the sums by the step's learned tokens over all processes and calls backward; transformers does the rest.
"""

from distil import callable_as_job

callable_as_job(__name__)
