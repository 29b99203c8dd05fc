"""HTTP: one attempt of one request, the transport under it, and the choice among replicas."""
