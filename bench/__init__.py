"""What the library costs, beside references and peers, on one machine and in one run: ``make bench``."""
