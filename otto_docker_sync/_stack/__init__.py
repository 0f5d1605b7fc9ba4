"""Compose stacks on a parent."""
