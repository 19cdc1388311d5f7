"""What a worker decides, without clock, disk, process or socket."""
