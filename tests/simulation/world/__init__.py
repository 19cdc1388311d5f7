"""The machinery of a simulated world: time, processes, disks, sockets and the network."""
