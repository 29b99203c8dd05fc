"""One file per wire format, and what they share. Found through calls/catalog.py only; nothing here sends, retries or pays."""
