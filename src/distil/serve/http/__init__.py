"""The gateway's HTTP: routes, bodies, errors in the shape of each API. Nothing is decided here."""
