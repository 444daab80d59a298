"""What serves a model: one engine for each kind of model, behind one interface.

base           the interface
mlflow_pyfunc  Python functions, in an environment of their own
llama_cpp      language models in GGUF, by llama.cpp
"""
