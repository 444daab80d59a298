"""Models that the system runs itself: what they are, and how many replicas there should be."""
