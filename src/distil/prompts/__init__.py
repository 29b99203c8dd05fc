"""Stage `prompts`: one Prompt per distinct question, from the user's file and from a teacher that writes more of them.

Start at stage.py. The path of one prompt:
    sources.py      a row of the user's file becomes a dict of fields
    rows.py         the fields become a Prompt, or an error that names line and field
    stage.py        equal prompts are merged, then work/prompts/prompts.jsonl is written
`distil prompts expand` (expand.py) adds more:
    coverage.py     clusters the prompts to find rare kinds; novelty.py drops near-duplicates
    self_instruct.py  the request to the teacher and the reading of its reply
    expanded.py     work/prompts/expanded.jsonl, merged into prompts.jsonl
gateway.py takes in what a gateway captured (`distil collect --from-gateway`): work/prompts/gateway.jsonl, merged, too.
"""
