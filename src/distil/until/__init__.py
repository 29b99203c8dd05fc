"""`distil until SHIP`: answers are bought in rounds until a student is proven, or proof is out of reach for the money.

Files, in reading order:
    run.py       start here: the rounds, each step of which resumes
    wish.py      what the user asked for
    rounds.py    which prompts a round asks, how many rounds the budget buys, and their shares of the error
    money.py     what answers and evaluations cost, measured where the ledger has some
    outlook.py   what the rounds so far say about those to come
    spending.py  what the looks may spend of the error of the test prompts
    ending.py    whether they are over, how they ended, and what would have been enough
"""

from distil import callable_as_job

callable_as_job(__name__)
