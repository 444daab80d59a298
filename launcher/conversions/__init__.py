"""Models of transformers as llama.cpp loads them: converted once, kept while there is room.

folder   what is where in the folder that MLflow writes for such a model
convert  one conversion by `../converter`, within bounds
cache    those that were made
"""
