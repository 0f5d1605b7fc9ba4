"""The docker client on a parent."""
