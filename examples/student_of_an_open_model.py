"""A small model that matches an open one token by token: python student_of_an_open_model.py TEACHER STUDENT questions.jsonl

TEACHER and STUDENT are Hugging Face ids or folders, such as Qwen/Qwen3-8B and Qwen/Qwen3-0.6B. The student learns the whole
distribution of its teacher (softened by the temperature) besides the answers.
"""

import sys

import distil

teacher, student, prompts = sys.argv[1:4]
settings = {"train": {"method": "logits", "temperature": 2.0, "distill_weight": 0.7, "label_weight": 0.3}}
project = distil.init(
    "student-of-an-open-model", teacher=f"local/{teacher}", student=student, prompts=prompts, settings=settings
)
distil.run(project)
verdict = distil.evaluate(project).verdict
print(verdict.decision, verdict.sentence, f"Report: {distil.report(project)}", sep="\n")
