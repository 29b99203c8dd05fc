"""The APIs that the gateway speaks: the bodies of their requests, and their replies. No HTTP and no model."""
