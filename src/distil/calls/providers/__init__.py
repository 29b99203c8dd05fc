"""One file per wire format, and what they share. Opened through catalog.py only; nothing here sends, retries or pays."""
