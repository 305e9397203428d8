"""whodid: the audit log for Python applications."""
