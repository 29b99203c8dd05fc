"""The judge: a model that compares the student's answers with the teacher's, or scores them by a rubric.

Start at `run`:
    ../../judging/  what is asked, sending it through the one door to paid calls, and what a reply says
    pairs.py     both orders, ties, repeats -> a value per prompt; rubric.py: the same for scores by a rubric
    health.py    is it better than coin flips, does it prefer a place; ../length.py: does it prefer length
    people.py    agreement with what people said about the same pairs
    say.py       the sentence, with n and gaps; whether anything may be concluded
"""

from __future__ import annotations

from distil.evaluate.judge.judging import pairs_of, run
from distil.evaluate.judge.people import preferences
from distil.evaluate.judge.settings import Judged
from distil.judging.prompt import Pair
from distil.judging.settings import Settings

__all__ = ["Judged", "Pair", "Settings", "pairs_of", "preferences", "run"]
