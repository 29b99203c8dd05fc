"""Fine-tuning at a provider: what each offers (offers.py), each one's wire format, and one job up to its model (run.py)."""
