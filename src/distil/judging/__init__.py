"""Asking a model about answers: the wording, the first questions, and what its replies say. Used to choose and to evaluate.

settings.py  which model, how it is asked, and the rubric
prompt.py    what is asked, fenced against orders inside the answers
ask.py       a few questions first, then all of them; asking.py: any list of requests, under a cap
reading.py   which of two answers is better; scores.py: how good one answer is
orders.py    whether its two orders agree beyond coin flips
"""
