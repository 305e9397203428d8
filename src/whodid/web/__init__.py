"""The Audit logs tab: a web application to mount in an admin panel, or to run with `whodid web`.

    app.mount("/admin/audit-logs", whodid.web.create_app(is_root_user=lambda request: request.user.is_root))

It reads entries only through `AuditClient`. Pages are rendered on the server and work without JavaScript.
"""

from .app import create_app, create_standalone_app

__all__ = ["create_app", "create_standalone_app"]
