"""Stage `train`: the student learns. Start with stage.py (the order of events), then trainer.py (one step)."""
