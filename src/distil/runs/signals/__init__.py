"""The format of cached teacher distributions, which `signals/` writes and `train/` reads. numpy only, no torch.

Start at store.py (reading), then spec.py (which rows there are), shards.py (files), codec.py and bits.py (bytes).
"""
