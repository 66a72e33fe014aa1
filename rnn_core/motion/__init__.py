"""Points that move: gaps filled, seen from one place, augmented, with their velocities."""
