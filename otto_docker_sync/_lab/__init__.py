"""What a lab file may say: its tables, and the TOML around them. Other rooms use the names below."""

from __future__ import annotations

from .tables import HostTable, LabTable, ProjectTable, ReservationsTable, check
from .toml_text import load_toml

__all__ = ["HostTable", "LabTable", "ProjectTable", "ReservationsTable", "check", "load_toml"]
