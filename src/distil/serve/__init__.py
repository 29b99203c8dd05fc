"""Stage `serve`: an OpenAI-compatible gateway, the student first and the teacher when unsure.

Start with stage.py. gateway.py decides, app.py speaks HTTP, engines.py answers, calibrate.py finds the threshold and its promise.
"""
