"""Loops and processes. They know the ports, never an adapter."""
