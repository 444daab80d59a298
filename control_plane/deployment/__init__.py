"""What a deployment is and can do, and its workers."""
