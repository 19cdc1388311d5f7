"""The routes: parse, call one operation, render. Whatever is decided is decided elsewhere."""
