"""What must hold when things go wrong: a scripted channel for a fault at byte N, and real violence."""
