"""What people look at: they read a config, a result or a run folder, never live objects."""
