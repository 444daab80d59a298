"""The audit log: who changed what and when, and who was refused."""
