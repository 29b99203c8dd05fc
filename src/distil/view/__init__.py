"""`distil view --page`: a local page to search, compare and mark answers. catalog.py reads, server.py serves, page.py draws."""
