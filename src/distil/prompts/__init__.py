"""Stage `prompts`: the questions, from the user's file (stage.py) and from a teacher that invents more of them (expand.py)."""
