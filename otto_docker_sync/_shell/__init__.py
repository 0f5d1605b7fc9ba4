"""Commands in remote shells: frames, sessions, oneshots."""
