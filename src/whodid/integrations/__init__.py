"""Integrations: one module a framework, each giving it whodid's call or binding its requests to the context."""
