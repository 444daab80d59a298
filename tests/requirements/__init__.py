"""The examples of the product's documents, run as they are printed."""
