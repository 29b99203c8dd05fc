"""The one door to any model behind an API: providers, rate limits, retries, budget, prices, the ledger, batch jobs.

Start at client.py. Stages import `distil.calls.request`, `.client`, `.ledger`, `.prices`; nothing here imports aiohttp
before something is sent.
"""
