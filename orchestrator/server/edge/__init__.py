"""The outermost ring: sockets, heads of requests, bodies on their way in. It knows no job."""
