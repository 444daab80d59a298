"""What a worker tells of itself: metrics, reports, traces."""
