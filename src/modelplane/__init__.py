"""A self-hosted model-serving gateway that speaks the Databricks Model Serving API.

In a checkout this folder links to the top-level ones, so that every tool and every installation
knows them by one name; an installed package holds them as its own.
"""
