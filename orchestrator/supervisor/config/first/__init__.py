"""A first configuration: its template, its schema for editors, and files of older systems."""
