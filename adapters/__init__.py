"""Outside technology: providers, and what both planes share. No business rules."""
