"""The registry of models that `modelplane up --registry sqlite` runs: an MLflow tracking server.

environment  what it runs in: packages of its own, as `mlflow.txt` locks them, fetched on demand
server       how it is started, and kept running beside the rest
"""
