"""The programs and the people of a simulated world: real ones, with the world in their hands."""
