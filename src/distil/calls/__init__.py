"""The only path to a model behind an API: providers, rate limits, retries, budget, prices, the ledger, batch jobs.

Start at client.py, then session.py, which makes one paid answer:
    client.complete    returns what the ledger has; otherwise session.call
    budget.reserve     sets the highest possible cost aside
    gate.enter         waits for the rate limits
    writer.write       commits the intent to the ledger
    gate.go            waits for a place on the wire
    sender.send        sends once and parses the reply
    gate.leave         learns the limits from the outcome
    writer.write       commits the raw reply to the ledger
    stats, budget      count it and give the rest of the reservation back
A fault goes to limits/outage.py (go on, pause, stop the run) and back to session.call (retry or give up).
Nothing here imports aiohttp before something is sent.
"""
