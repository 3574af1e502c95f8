"""Networks and the pictures that enter and leave them."""
