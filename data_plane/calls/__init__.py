"""A call: what is asked for, what is known of it, and how it is answered."""
