"""Training elsewhere: `distil train --provider NAME`. Start at stage.py, then making.py; the wire is in calls/fine_tuning/."""
