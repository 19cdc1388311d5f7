"""This program as a service: unit files, service managers, and what they are told."""
