"""What files can declare: one module for each kind, and `registry` with the table of them."""
