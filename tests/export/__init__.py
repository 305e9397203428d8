"""Exports: forms without a server, and files with a real one."""
