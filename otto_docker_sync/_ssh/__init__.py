"""Connections by SSH. Paramiko is imported in this package only."""
