"""What the supervisor decides, without clock, process or socket."""
