"""Floor 3: a local model. load.py, render.py (chat -> ids and answer mask), generate.py, fingerprint.py,
export.py, parity.py."""
