"""Where the server's truth is kept: an interface, and the databases behind it."""
