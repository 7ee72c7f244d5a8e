"""A simulated town: the whole program under seeded people, faults and crashes."""
