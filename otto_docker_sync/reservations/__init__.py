"""Who may use which hosts of a lab: reservations, from one laptop to many machines."""

from .inherited import Publication
from .lab_reservations import LabReservations, Wanted
from .options import ReservationOptions
from .request import Entry, Who
from .reservation import Reservation

__all__ = ["Entry", "LabReservations", "Publication", "Reservation", "ReservationOptions", "Wanted", "Who"]
