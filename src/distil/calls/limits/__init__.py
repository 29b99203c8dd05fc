"""How fast and how much may be sent: the admission gate and its adaptive limit, token buckets, the dollar budget, outages."""
