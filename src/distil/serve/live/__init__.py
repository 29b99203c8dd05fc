"""Whether the promise of a calibration stays true in production: audits, the alarm, drift, and a student in the shadow."""
