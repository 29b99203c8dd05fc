"""Stage `serve`: an OpenAI-compatible gateway, the student first and the teacher when it is unsure.

Start at stage.py. gateway.py decides, app.py is the HTTP around it, engines/ runs the student, calibration/ finds the threshold.
"""

from distil import callable_as_job

callable_as_job(__name__)
