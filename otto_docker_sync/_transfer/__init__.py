"""Files in and out of a host."""
