"""The bytes of one process somewhere, and what a kind of host can do."""
