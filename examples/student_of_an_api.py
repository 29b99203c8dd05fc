"""A small model that answers like one behind an API:

    python student_of_an_api.py openai/gpt-5-mini Qwen/Qwen3-0.6B questions.jsonl

The same as `distil init`, `collect`, `curate`, `train`, `evaluate` and `cost`. After a Ctrl-C it goes on.
"""

import sys

import distil

teacher, student, prompts = sys.argv[1:4]
project = distil.init("student-of-an-api", teacher=teacher, student=student, prompts=prompts)
print(*distil.plan(project).advice, sep="\n")
distil.collect(project, {"collect.budget_usd": 20})
print(distil.curate(project).rows())
distil.train(project)
verdict = distil.evaluate(project).verdict
print(verdict.decision, verdict.sentence)
print([option.payback for option in distil.cost(project).options])
