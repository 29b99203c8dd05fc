"""Loopback servers that speak the real wire formats of OpenAI, Anthropic and Google, errors and batch jobs included.

The only mocks in the tests: they are at the network's edge. `with OpenAIServer() as server: server.url`.
"""
