"""`distil plan`: API or logits? How much data, dollars, hours and memory, on which machine, and when does it pay back?

Estimates from the prompts, the price table, the sizes of the models and the machines; nothing is sent, loaded or trained.
Start at `make` (make.py); method.py has the choice, hardware.py the table of machines, money.py the prices and the month,
data.py how many examples. What should change in distil.yaml comes as settings, which `distil plan --apply` writes.
"""

from __future__ import annotations

from distil import callable_as_job
from distil.plan.forecast import Cell, Change, Forecast, Place, TierPrice
from distil.plan.make import make
from distil.plan.method import choose_method

__all__ = ["Cell", "Change", "Forecast", "Place", "TierPrice", "choose_method", "make"]
callable_as_job(__name__)
