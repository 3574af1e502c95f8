"""Networks, their codes, and the color space of their inputs and outputs."""
