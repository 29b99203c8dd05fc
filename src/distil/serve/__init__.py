"""Stage `serve`: an OpenAI-compatible gateway, the student first and the teacher when it is unsure.

Start at stage.py. gateway.py decides, http/ is around it, apis/ are the bodies, engines/ runs the student, calibration/ finds the
threshold, certificate/ knows what it holds for, live/ watches whether it stays true, page/ shows it all.
"""

from distil import callable_as_job

callable_as_job(__name__)
