"""`distil collect --active`: asking the teacher where the student is unsure, in rounds. Start at run.py.

A loop over stages, which import nothing of each other: it asks (collect), splits (curate), trains and measures a student
(parts.py), and chooses the next prompts by what that student knows. Not a stage: its answers are those of `collect`.
"""
