"""The demonstration: a sentiment teacher and a student half as deep, on real weights and real text."""
