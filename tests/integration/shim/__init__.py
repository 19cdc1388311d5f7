"""Real shims under a real launcher, running real commands."""
