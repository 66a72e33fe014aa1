"""Time series: as windows, in units of their own, and what a trained network foretells of them."""
