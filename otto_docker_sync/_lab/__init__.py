"""What a lab file may say: its tables, and the TOML around them."""
