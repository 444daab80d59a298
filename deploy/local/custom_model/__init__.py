"""The custom model that `modelplane up --custom-model` serves beside the rest.

taxi_fares    trains it and registers it: a script to read, and to begin one's own with
requirements  what it runs with, locked: MLflow's small package, numpy and pandas
deployment    runs the script the first time, and makes an endpoint of what it has registered
"""
