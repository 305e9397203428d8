"""Setup: what `whodid setup` installs in the cluster: template, retention policy, roles, Dashboards."""
