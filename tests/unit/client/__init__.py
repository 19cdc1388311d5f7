"""The rules of calling a server, without a socket."""
