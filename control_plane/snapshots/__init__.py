"""What the workers hold: building it, caching it, rolling it out."""
