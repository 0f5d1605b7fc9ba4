"""Sessions by telnet."""
